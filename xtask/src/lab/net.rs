//! Hosts made of network namespaces, joined by a bridge in a namespace of its own: nothing of the
//! machine's own network is touched.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::Outcome;
use crate::repo::shown;

/// The namespaces of this run. Dropped, all of them go.
pub(super) struct Net {
    prefix: String,
    janitor: Child,
}

/// One namespace. Its card on the bridge is called `eth0`.
#[derive(Clone)]
pub(super) struct Host {
    pub(super) name: String,
    pub(super) namespace: String,
    /// Its IPv4 address on the bridge.
    pub(super) address: String,
}

/// Removes the namespaces `$1-*` and the directory `$2` when standard input ends: at the end of a
/// run, and also when it was killed. It ends what still runs in there, and nothing else.
const JANITOR: &str = r#"
trap '' INT TERM HUP
cat >/dev/null
for namespace in $(ip netns list | cut -d' ' -f1 | grep "^$1-"); do
    for pid in $(ip netns pids "$namespace"); do kill -9 "$pid" 2>/dev/null; done
    ip netns del "$namespace"
done
rm -rf -- "$2"
"#;

/// Whether this is root and namespaces can be made.
pub(super) fn possible() -> Outcome {
    let name = format!("motetlab{}-try", std::process::id());
    let made = Command::new("ip").args(["netns", "add", &name]).output();
    let made = made.map_err(|error| format!("needs the program `ip`: {error}"))?;
    if !made.status.success() {
        let reason = String::from_utf8_lossy(&made.stderr);
        return Err(format!("needs root and network namespaces: {}", reason.trim()));
    }
    sh("ip", &["netns", "del", &name])
}

impl Net {
    /// `directory` is removed with the namespaces.
    pub(super) fn open(directory: &Path) -> Result<Self, String> {
        let prefix = format!("motetlab{}", std::process::id());
        let janitor = Command::new("sh")
            .args(["-c", JANITOR, "janitor", &prefix])
            .arg(directory)
            .stdin(Stdio::piped())
            .process_group(0) // Ctrl-C is not for it
            .spawn()
            .map_err(|error| format!("sh: {error}"))?;
        let net = Self { prefix, janitor };
        let switch = net.switch();
        sh("ip", &["netns", "add", &switch])?;
        // No snooping: the bridge floods multicast like a plain switch, and at once.
        sh("ip", &["-n", &switch, "link", "add", "br0", "type", "bridge", "mcast_snooping", "0"])?;
        sh("ip", &["-n", &switch, "link", "set", "br0", "up"])?;
        Ok(net)
    }

    /// Where the bridge is: every frame between hosts passes here.
    pub(super) fn switch(&self) -> String {
        format!("{}-switch", self.prefix)
    }

    /// A host with nothing but loopback.
    pub(super) fn lonely_host(&self, name: &str) -> Result<Host, String> {
        let namespace = format!("{}-{name}", self.prefix);
        sh("ip", &["netns", "add", &namespace])?;
        let host = Host { name: name.into(), namespace, address: String::new() };
        host.ip(&["link", "set", "lo", "up"])?;
        Ok(host)
    }

    /// A host on the bridge with the address 10.77.0.`n` and cards of this MTU.
    pub(super) fn host(&self, name: &str, n: u8, mtu: u32) -> Result<Host, String> {
        let mut host = self.lonely_host(name)?;
        host.address = format!("10.77.0.{n}");
        self.attach(&host, mtu)?;
        host.ip(&["addr", "add", &format!("{}/24", host.address), "dev", "eth0"])?;
        Ok(host)
    }

    /// A host on the bridge with the address 10.77.0.`n`, whose card takes whole trains of packets
    /// as cards with segmentation offload do.
    pub(super) fn host_with_offload(&self, name: &str, n: u8) -> Result<Host, String> {
        let host = self.host(name, n, 1_500)?;
        let (switch, port) = (self.switch(), format!("to-{name}"));
        host.ip(&["link", "set", "eth0", "gso_max_segs", "65535"])?;
        sh("ip", &["-n", &switch, "link", "set", &port, "gso_max_segs", "65535"])?;
        Ok(host)
    }

    /// Settings of the bridge, as `mcast_snooping 1`.
    pub(super) fn bridge(&self, settings: &str) -> Outcome {
        let switch = self.switch();
        let set = ["-n", &switch, "link", "set", "br0", "type", "bridge"];
        sh("ip", &set.into_iter().chain(settings.split(' ')).collect::<Vec<_>>())
    }

    /// What `bridge mdb` tells of the groups that the bridge has learnt.
    pub(super) fn groups(&self) -> Result<String, String> {
        output(&mut within(&self.switch(), "bridge", &["mdb", "show"]))
    }

    /// A host on the bridge with no IPv4 address.
    pub(super) fn host_without_ipv4(&self, name: &str) -> Result<Host, String> {
        let host = self.lonely_host(name)?;
        self.attach(&host, 1_500)?;
        Ok(host)
    }

    /// A host with the address 10.78.`subnet`.`n`, behind a router that joins all subnets. Unicast
    /// passes there, multicast does not.
    pub(super) fn routed_host(&self, name: &str, subnet: u8, n: u8) -> Result<Host, String> {
        let mut host = self.lonely_host(name)?;
        host.address = format!("10.78.{subnet}.{n}");
        let (switch, bridge, port) = (self.switch(), format!("br{subnet}"), format!("to-{name}"));
        let gateway = format!("10.78.{subnet}.1");
        let router = |arguments: &[&str]| sh("ip", &[&["-n", &switch], arguments].concat());
        if router(&["link", "show", &bridge]).is_err() {
            router(&["link", "add", &bridge, "type", "bridge", "mcast_snooping", "0"])?;
            router(&["addr", "add", &format!("{gateway}/24"), "dev", &bridge])?;
            router(&["link", "set", &bridge, "up"])?;
            let forward = "echo 1 >/proc/sys/net/ipv4/ip_forward";
            output(&mut within(&switch, "sh", &["-c", forward]))?;
        }
        let ends = ["type", "veth", "peer", "name", "eth0", "netns", &host.namespace];
        router(&[&["link", "add", &port][..], &ends].concat())?;
        router(&["link", "set", &port, "up", "master", &bridge])?;
        host.ip(&["addr", "add", &format!("{}/24", host.address), "dev", "eth0"])?;
        host.ip(&["link", "set", "eth0", "up"])?;
        host.ip(&["route", "add", "default", "via", &gateway])?;
        Ok(host)
    }

    fn attach(&self, host: &Host, mtu: u32) -> Outcome {
        let (switch, mtu) = (self.switch(), mtu.to_string());
        let port = format!("to-{}", host.name);
        // Without duplicate address detection the link-local address is there at once.
        let quick = "echo 0 >/proc/sys/net/ipv6/conf/default/accept_dad";
        host.run("sh", &["-c", quick])?;
        let ends = ["type", "veth", "peer", "name", "eth0", "netns", &host.namespace];
        sh("ip", &[&["-n", &switch, "link", "add", &port][..], &ends].concat())?;
        // One segment at a time: a fault befalls a packet, not a train of them.
        let card = ["mtu", &mtu, "gso_max_segs", "1", "up"];
        host.ip(&[&["link", "set", "eth0"][..], &card].concat())?;
        let card = [&card[..], &["master", "br0"]].concat();
        sh("ip", &[&["-n", &switch, "link", "set", &port][..], &card].concat())
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        drop(self.janitor.stdin.take());
        let _ = self.janitor.wait(); // it says itself what fails
    }
}

impl Host {
    /// `ip` in this host.
    pub(super) fn ip(&self, arguments: &[&str]) -> Outcome {
        sh("ip", &[&["-n", &self.namespace], arguments].concat())
    }

    /// Any program in this host, run to its end; what it printed.
    pub(super) fn run(&self, program: &str, arguments: &[&str]) -> Result<String, String> {
        output(&mut self.command(program, arguments))
    }

    /// Any program in this host.
    pub(super) fn command(&self, program: &str, arguments: &[&str]) -> Command {
        within(&self.namespace, program, arguments)
    }

    /// One rule for IPv4 and IPv6, as `-A INPUT … -j DROP`.
    pub(super) fn filter(&self, rule: &str) -> Outcome {
        self.filter_v4(rule)?;
        self.filter_v6(rule)
    }

    /// One rule for IPv4.
    pub(super) fn filter_v4(&self, rule: &str) -> Outcome {
        self.filter_of("iptables", rule)
    }

    /// One rule for IPv6.
    pub(super) fn filter_v6(&self, rule: &str) -> Outcome {
        self.filter_of("ip6tables", rule)
    }

    fn filter_of(&self, tables: &str, rule: &str) -> Outcome {
        let rule: Vec<&str> = rule.split(' ').collect();
        // Kernels without nf_tables have the older interface.
        self.run(tables, &rule)
            .or_else(|first| self.run(&format!("{tables}-legacy"), &rule).map_err(|_| first))
            .map(drop)
    }

    /// Drops each arriving packet with this probability.
    pub(super) fn lose(&self, probability: f64) -> Outcome {
        let rule = "-A INPUT -i eth0 -m statistic --mode random --probability";
        self.filter(&format!("{rule} {probability} -j DROP"))
    }

    /// Drops every multicast packet that arrives or leaves by `device`.
    pub(super) fn drop_multicast(&self, device: &str) -> Outcome {
        for (tables, group) in [("iptables", "224.0.0.0/4"), ("ip6tables", MOTET_GROUP_V6)] {
            for way in [["INPUT", "-i"], ["OUTPUT", "-o"]] {
                let [chain, by] = way;
                self.filter_of(tables, &format!("-A {chain} {by} {device} -d {group} -j DROP"))?;
            }
        }
        Ok(())
    }

    /// Packets that the rules of this chain have matched so far.
    pub(super) fn matched(&self, chain: &str) -> Result<u64, String> {
        let list = ["-nvxL", chain];
        let text = self.run("iptables", &list).or_else(|_| self.run("iptables-legacy", &list))?;
        let counts = text.lines().skip(2).filter_map(|line| line.split_whitespace().next());
        Ok(counts.filter_map(|count| count.parse::<u64>().ok()).sum())
    }
}

/// All groups of IPv6 but those of neighbour discovery: only motet's kind is dropped.
const MOTET_GROUP_V6: &str = "ff12::/16";

/// `program` in a namespace.
pub(super) fn within(namespace: &str, program: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new("ip");
    command.args(["netns", "exec", namespace, program]).args(arguments);
    command
}

fn sh(program: &str, arguments: &[&str]) -> Outcome {
    output(Command::new(program).args(arguments)).map(drop)
}

fn output(command: &mut Command) -> Result<String, String> {
    let shown = shown(command);
    let output = command.output().map_err(|error| format!("`{shown}`: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(format!("`{shown}`: {}", String::from_utf8_lossy(&output.stderr).trim()))
}

/// A path in the run's directory.
pub(super) fn path(directory: &Path, name: &str) -> (PathBuf, String) {
    let path = directory.join(name);
    let shown = path.to_string_lossy().into_owned();
    let _ = std::io::stdout().flush();
    (path, shown)
}
