//! Hosts made of network namespaces on one bridge, where the machine allows it: real networks that
//! can be cut. Nothing of the machine's own network is touched.
#![allow(dead_code, reason = "each test file uses its part")]

use std::process::{Child, Command, Stdio};

use crate::process::{Process, Ran, World};

/// The namespaces of one test. Dropped, or when the test is killed, all of them go.
pub(crate) struct Hosts {
    prefix: String,
    names: Vec<&'static str>,
    janitor: Child,
}

/// Removes the namespaces `$1-*` when standard input ends, and ends what still runs in there.
const JANITOR: &str = r#"
trap '' INT TERM HUP
cat >/dev/null
for namespace in $(ip netns list | cut -d' ' -f1 | grep "^$1-"); do
    for pid in $(ip netns pids "$namespace"); do kill -9 "$pid" 2>/dev/null; done
    ip netns del "$namespace"
done
"#;

impl Hosts {
    /// These hosts, which all reach each other; `None` where that needs more rights.
    pub(crate) fn new(names: &[&'static str]) -> Option<Self> {
        static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let n = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let prefix = format!("motetcut{}x{n}", std::process::id());
        let switch = format!("{prefix}-switch");
        let possible = ip(&["netns", "add", &switch]) && runs("iptables", &["-V"]);
        if !possible {
            ip(&["netns", "del", &switch]);
            eprintln!("skipped: needs root, network namespaces and iptables");
            return None;
        }
        let mut janitor = Command::new("sh");
        janitor.args(["-c", JANITOR, "janitor", &prefix]).stdin(Stdio::piped());
        let janitor = janitor.spawn().expect("a shell");
        let hosts = Self { prefix, names: names.to_vec(), janitor };
        let bridge = ["link", "add", "br0", "type", "bridge", "mcast_snooping", "0"];
        assert!(ip(&[&["-n", &switch][..], &bridge].concat()), "a bridge");
        assert!(ip(&["-n", &switch, "link", "set", "br0", "up"]), "the bridge is up");
        for name in names {
            hosts.attach(&switch, name);
        }
        Some(hosts)
    }

    fn attach(&self, switch: &str, name: &str) {
        let namespace = self.namespace(name);
        let done = |arguments: &[&str]| assert!(ip(arguments), "ip {arguments:?}");
        done(&["netns", "add", &namespace]);
        let quiet =
            "for f in all default; do echo 1 >/proc/sys/net/ipv6/conf/$f/disable_ipv6; done";
        assert!(runs("ip", &["netns", "exec", &namespace, "sh", "-c", quiet]), "IPv4 alone");
        done(&["-n", &namespace, "link", "set", "lo", "up"]);
        let port = format!("to-{name}");
        let ends = ["type", "veth", "peer", "name", "eth0", "netns", &namespace];
        done(&[&["-n", switch, "link", "add", &port][..], &ends].concat());
        done(&["-n", switch, "link", "set", &port, "up", "master", "br0"]);
        let address = format!("{}/24", self.address(name));
        done(&["-n", &namespace, "addr", "add", &address, "dev", "eth0"]);
        done(&["-n", &namespace, "link", "set", "eth0", "up"]);
    }

    fn namespace(&self, name: &str) -> String {
        format!("{}-{name}", self.prefix)
    }

    fn address(&self, name: &str) -> String {
        let at = self.names.iter().position(|known| *known == name).expect("a host of this test");
        format!("10.79.0.{}", at + 1)
    }

    /// Starts a program on a host.
    pub(crate) fn start(&self, world: &World, host: &str, program: &str, args: &[&str]) -> Process {
        world.start("ip", &[&["netns", "exec", &self.namespace(host), program], args].concat())
    }

    /// Runs a program on a host to its end.
    pub(crate) fn run(&self, world: &World, host: &str, program: &str, args: &[&str]) -> Ran {
        world.run("ip", &[&["netns", "exec", &self.namespace(host), program], args].concat())
    }

    /// From now on no packet passes between two hosts, in either direction.
    pub(crate) fn cut(&self, one: &str, other: &str) {
        self.filter("-A", one, other);
    }

    /// Packets pass again.
    pub(crate) fn heal(&self, one: &str, other: &str) {
        self.filter("-D", one, other);
    }

    fn filter(&self, verb: &str, one: &str, other: &str) {
        for (chain, way) in [("INPUT", "-s"), ("OUTPUT", "-d")] {
            // What goes to a group is dropped where it arrives.
            for (here, there) in [(one, other), (other, one)] {
                let (namespace, address) = (self.namespace(here), self.address(there));
                let rule = [verb, chain, way, &address, "-j", "DROP"];
                let by = |tables: &str| {
                    let within = ["netns", "exec", &namespace, tables];
                    runs("ip", &[&within[..], &rule].concat())
                };
                // Kernels without nf_tables have the older interface.
                assert!(by("iptables") || by("iptables-legacy"), "a rule against {address}");
            }
        }
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        drop(self.janitor.stdin.take());
        let _ = self.janitor.wait();
    }
}

fn ip(arguments: &[&str]) -> bool {
    runs("ip", arguments)
}

fn runs(program: &str, arguments: &[&str]) -> bool {
    let mut command = Command::new(program);
    command.args(arguments).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}
