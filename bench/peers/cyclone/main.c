/* Cyclone DDS, in the same roles and with the same lines as the other peers (harness/src/line.rs).
 *
 * Settings: reliable, keep all, write batching on (`dds_write_set_batch` before the writer is made;
 * flushed when a window ends) for throughput and off for round trips, multicast on the interface in
 * use; readers have a listener (throughput) or wait set (round trips).
 */
#include <dds/dds.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"

typedef unsigned long long u64;

static int count_args;
static char **all_args;
static atomic_ullong count;
static atomic_bool started, stopped, probed;
static u64 size, quiet_ns;
static struct { u64 messages, window_ns, cpu_ns, total, resident_kib; } counted;

static const char *text(const char *key) {
  size_t n = strlen(key);
  for (int i = 2; i < count_args; i++)
    if (!strncmp(all_args[i], key, n) && all_args[i][n] == '=') return all_args[i] + n + 1;
  return "";
}
static u64 number(const char *key, u64 other) {
  const char *value = text(key);
  return *value ? strtoull(value, NULL, 10) : other;
}
static u64 now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (u64)t.tv_sec * 1000000000ULL + (u64)t.tv_nsec;
}
static u64 cpu_ns(void) {
  struct rusage r;
  getrusage(RUSAGE_SELF, &r);
  return (u64)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) * 1000000000ULL +
         (u64)(r.ru_utime.tv_usec + r.ru_stime.tv_usec) * 1000ULL;
}
static u64 resident_kib(void) {
  char line[256];
  u64 kib = 0;
  FILE *f = fopen("/proc/self/status", "r");
  while (f && fgets(line, sizeof line, f)) sscanf(line, "VmRSS: %llu", &kib);
  if (f) fclose(f);
  return kib;
}
static void pause_ns(u64 ns) {
  struct timespec t = {(time_t)(ns / 1000000000ULL), (long)(ns % 1000000000ULL)};
  nanosleep(&t, NULL);
}
static void until_ns(u64 at) {
  u64 now = now_ns();
  if (at > now) pause_ns(at - now);
}
static void say(const char *line) {
  printf("%s\n", line);
  fflush(stdout);
}
static void say_counted(const char *event) {
  printf("{\"event\":\"%s\",\"messages\":%llu,\"window_ns\":%llu,\"cpu_ns\":%llu,\"total\":%llu,"
         "\"resident_kib\":%llu}\n",
         event, counted.messages, counted.window_ns, counted.cpu_ns, counted.total,
         counted.resident_kib);
  fflush(stdout);
}
static void fail(const char *why, int code) {
  printf("{\"event\":\"failed\",\"why\":\"%s: %s\"}\n", why, code < 0 ? dds_strretcode(-code) : "");
  fflush(stdout);
  exit(1);
}
static dds_entity_t made(const char *what, dds_entity_t entity) {
  if (entity < 0) fail(what, entity);
  return entity;
}

static void window(u64 from, u64 until) {
  until_ns(from);
  u64 wall = now_ns(), cpu = cpu_ns(), first = count;
  until_ns(until);
  counted.window_ns = now_ns() - wall;
  counted.cpu_ns = cpu_ns() - cpu;
  counted.messages = count - first;
  counted.resident_kib = resident_kib();
}

/* The thread that listens to motet-bench. */
static void *control(void *publishes) {
  char line[128];
  u64 a, b;
  while (fgets(line, sizeof line, stdin)) {
    if (sscanf(line, "go %llu %llu", &a, &b) == 2) {
      started = true;
      window(a, b);
      if (publishes) {
        pause_ns(20000000);
        stopped = true;
      }
    } else if (sscanf(line, "drain %llu", &a) == 1) {
      u64 last = count, since = now_ns();
      while (last < a && now_ns() - since < quiet_ns) {
        pause_ns(2000000);
        u64 now = count;
        if (now != last) last = now, since = now_ns();
      }
      counted.total = last;
      say_counted("received");
      stopped = true;
    } else if (sscanf(line, "measure %llu", &a) == 1) {
      u64 wall = now_ns(), cpu = cpu_ns();
      pause_ns(a * 1000000);
      cpu = cpu_ns() - cpu, wall = now_ns() - wall;
      printf("{\"event\":\"idle\",\"resident_kib\":%llu,\"cpu_ns\":%llu,\"wall_ns\":%llu}\n",
             resident_kib(), cpu, wall);
      fflush(stdout);
    } else if (!strncmp(line, "end", 3)) {
      exit(0);
    }
  }
  exit(0);
}
static void listen_to_parent(bool publishes) {
  pthread_t thread;
  pthread_create(&thread, NULL, control, publishes ? &started : NULL);
}

static dds_entity_t participant(void) {
  const char *card = text("card");
  char config[512];
  snprintf(config, sizeof config,
           "<General><Interfaces><NetworkInterface name=\"%s\" multicast=\"true\"/></Interfaces>"
           "<AllowMulticast>true</AllowMulticast></General>"
           "<Internal><SocketReceiveBufferSize min=\"default\"/></Internal>"
           "<Discovery><ExternalDomainId>%llu</ExternalDomainId></Discovery>",
           *card ? card : "lo", number("port", 0) % 200);
  setenv("CYCLONEDDS_URI", config, 1);
  return made("participant", dds_create_participant(0, NULL, NULL));
}
static dds_entity_t topic(dds_entity_t in, const char *name) {
  return made("topic", dds_create_topic(in, &bench_Message_desc, name, NULL, NULL));
}
static dds_qos_t *reliable(void) {
  dds_qos_t *qos = dds_create_qos();
  dds_qset_reliability(qos, DDS_RELIABILITY_RELIABLE, DDS_SECS(10));
  dds_qset_history(qos, DDS_HISTORY_KEEP_ALL, 0);
  return qos;
}
static dds_entity_t writer(dds_entity_t in, const char *name) {
  return made("writer", dds_create_writer(in, topic(in, name), reliable(), NULL));
}
static bench_Message message(u64 length) {
  bench_Message m = {0};
  m.payload._length = m.payload._maximum = (uint32_t)length;
  m.payload._buffer = malloc(length);
  memset(m.payload._buffer, 0x5a, length);
  return m;
}
static void send_message(dds_entity_t to, const bench_Message *m) {
  int code = dds_write(to, m);
  if (code < 0) fail("write", code);
}

/* Takes what is there; `on` sees each message. */
static int take(dds_entity_t from, void (*on)(const bench_Message *, void *), void *context) {
  enum { MOST = 256 };
  static void *samples[MOST];
  static dds_sample_info_t infos[MOST];
  samples[0] = NULL;
  int n = dds_take(from, samples, infos, MOST, MOST);
  for (int i = 0; i < n; i++)
    if (infos[i].valid_data) on(samples[i], context);
  if (n > 0) dds_return_loan(from, samples, n);
  return n;
}
static void on_counted(const bench_Message *m, void *context) {
  (void)context;
  if (m->payload._length == size)
    atomic_store_explicit(&count, atomic_load_explicit(&count, memory_order_relaxed) + 1,
                          memory_order_relaxed);
  else if (m->payload._length == 1 && !atomic_exchange(&probed, true))
    say("{\"event\":\"ready\"}");
}
static void counting(dds_entity_t from, void *context) {
  while (take(from, on_counted, context) > 0) {}
}

static void publish(void) {
  dds_entity_t in = participant();
  dds_write_set_batch(true); /* after the domain has read its settings, before the writer is made */
  dds_entity_t w = writer(in, "bench");
  bench_Message probe = message(1), m = message(size);
  listen_to_parent(true);
  say("{\"event\":\"ready\"}");
  while (!started) {
    send_message(w, &probe);
    dds_write_flush(w);
    pause_ns(1000000);
  }
  u64 sent = 0;
  while (!stopped) {
    send_message(w, &m);
    atomic_store_explicit(&count, ++sent, memory_order_relaxed);
  }
  dds_write_flush(w);
  dds_wait_for_acks(w, DDS_SECS(10));
  counted.total = sent;
  say_counted("done");
  for (;;) pause();
}
static void subscribe(void) {
  dds_entity_t in = participant();
  dds_listener_t *listener = dds_create_listener(NULL);
  listen_to_parent(false);
  dds_lset_data_available(listener, counting);
  made("reader", dds_create_reader(in, topic(in, "bench"), reliable(), listener));
  while (!stopped) pause_ns(10000000);
  dds_delete(in);
  exit(0);
}

static dds_entity_t set_of(dds_entity_t in, dds_entity_t reader) {
  dds_entity_t set = made("wait set", dds_create_waitset(in));
  dds_set_status_mask(reader, DDS_DATA_AVAILABLE_STATUS);
  dds_waitset_attach(set, reader, reader);
  return set;
}
static void await(dds_entity_t set, dds_duration_t limit) {
  dds_attach_t which[1];
  dds_waitset_wait(set, which, 1, limit);
}
static u64 wanted, came;
static void on_echo(const bench_Message *m, void *context) {
  (void)context;
  u64 id;
  if (m->payload._length < 8) return;
  memcpy(&id, m->payload._buffer, 8);
  if (id == wanted) came = id;
}
static int by_size(const void *a, const void *b) {
  u64 x = *(const u64 *)a, y = *(const u64 *)b;
  return (x > y) - (x < y);
}
static void ping(void) {
  enum { MOST = 4000000 };
  dds_entity_t in = participant(), w = writer(in, "ping");
  dds_entity_t r = made("reader", dds_create_reader(in, topic(in, "pong"), reliable(), NULL));
  dds_entity_t set = set_of(in, r);
  bench_Message m = message(size < 8 ? 8 : size);
  u64 *times = malloc(MOST * sizeof *times), n = 0, warm = 0, cpu = 0;
  u64 warm_ns = number("warm_ms", 300) * 1000000, all_ns = warm_ns + number("ms", 1000) * 1000000;
  while (n < MOST && !(warm && now_ns() - warm > all_ns)) {
    wanted++;
    memcpy(m.payload._buffer, &wanted, 8);
    u64 begun = now_ns();
    send_message(w, &m);
    while (came != wanted && (warm || now_ns() - begun < 100000000)) {
      await(set, DDS_MSECS(100));
      take(r, on_echo, NULL);
    }
    u64 now = now_ns();
    if (came != wanted) continue;
    if (!warm) warm = now;
    else if (now - warm > warm_ns) {
      if (!n) cpu = cpu_ns();
      times[n++] = now - begun;
    }
  }
  cpu = cpu_ns() - cpu;
  if (!n) fail("no round trip", 0);
  qsort(times, n, sizeof *times, by_size);
  printf("{\"event\":\"trips\",\"count\":%llu,\"min_ns\":%llu,\"p50_ns\":%llu,\"p99_ns\":%llu,"
         "\"p999_ns\":%llu,\"cpu_ns\":%llu}\n",
         n, times[0], times[n / 2], times[n * 99 / 100], times[n * 999 / 1000], cpu);
  fflush(stdout);
  dds_delete(in);
}
static void on_ping(const bench_Message *m, void *context) { send_message(*(dds_entity_t *)context, m); }
static void pong(void) {
  dds_entity_t in = participant(), w = writer(in, "pong");
  dds_entity_t r = made("reader", dds_create_reader(in, topic(in, "ping"), reliable(), NULL));
  dds_entity_t set = set_of(in, r);
  listen_to_parent(false);
  say("{\"event\":\"ready\"}");
  for (;;) {
    await(set, DDS_INFINITY);
    take(r, on_ping, &w);
  }
}
static void tick(void) {
  dds_entity_t in = participant();
  dds_entity_t w = made("writer", dds_create_writer(in, topic(in, "tick"), NULL, NULL));
  bench_Message m = message(64);
  listen_to_parent(false);
  say("{\"event\":\"ready\"}");
  for (;;) {
    send_message(w, &m);
    pause_ns(1000000);
  }
}
static void on_first(const bench_Message *m, void *context) {
  (void)m;
  *(bool *)context = true;
}
static void first(u64 begun) {
  bool here = false;
  dds_entity_t in = participant();
  dds_entity_t r = made("reader", dds_create_reader(in, topic(in, "tick"), reliable(), NULL));
  dds_entity_t set = set_of(in, r);
  while (!here) {
    await(set, DDS_SECS(1));
    take(r, on_first, &here);
  }
  printf("{\"event\":\"first\",\"ns\":%llu}\n", now_ns() - begun);
  fflush(stdout);
  dds_delete(in);
}
static void idle(void) {
  dds_entity_t in = participant();
  writer(in, "bench");
  made("reader", dds_create_reader(in, topic(in, "bench"), reliable(), NULL));
  listen_to_parent(false);
  say("{\"event\":\"ready\"}");
  for (;;) pause();
}

int main(int argc, char **argv) {
  u64 begun = now_ns();
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  count_args = argc, all_args = argv;
  size = number("size", 64);
  quiet_ns = number("quiet_ms", 1000) * 1000000;
  const char *role = argc > 1 ? argv[1] : "";
  if (!strcmp(role, "publish")) publish();
  else if (!strcmp(role, "subscribe")) subscribe();
  else if (!strcmp(role, "ping")) ping();
  else if (!strcmp(role, "pong")) pong();
  else if (!strcmp(role, "tick")) tick();
  else if (!strcmp(role, "first")) first(begun);
  else if (!strcmp(role, "idle")) idle();
  else fail("no such role here", 0);
  return 0;
}
