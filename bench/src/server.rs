//! Servers that some peers need, started for one measurement and stopped after it.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::process::{Failure, Process, cpu_ns_of};

/// What a row needs to run next to its processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Server {
    None,
    Nats,
    Mosquitto,
    /// The peer's own program in its role `serve`.
    Own,
}

/// A running server.
#[derive(Debug)]
pub(crate) struct Running(Process);

/// How long a server may take until it accepts connections.
const START: Duration = Duration::from_secs(5);

impl Server {
    /// Starts it on a free port of the loopback, with a configuration of its own.
    pub(crate) fn start(
        self,
        port: u16,
        directory: &Path,
        own: impl FnOnce() -> Result<Process, Failure>,
    ) -> Result<Option<Running>, Failure> {
        let (program, args) = match self {
            Self::None => return Ok(None),
            Self::Own => {
                let process = own()?;
                process.ready(START)?;
                return Ok(Some(Running(process)));
            }
            Self::Nats => {
                let text = format!(
                    "listen: 127.0.0.1:{port}\nmax_payload: 8MB\nmax_pending: 1GB\nwrite_deadline: \"30s\"\n"
                );
                ("nats-server", vec!["-c".to_owned(), written(directory, "nats.conf", &text)?])
            }
            Self::Mosquitto => {
                let text = format!(
                    "listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\n\
                     set_tcp_nodelay true\nmax_queued_messages 0\nmax_inflight_messages 0\n\
                     log_dest none\n"
                );
                ("mosquitto", vec!["-c".to_owned(), written(directory, "mosquitto.conf", &text)?])
            }
        };
        let program = ["/usr/sbin", "/usr/bin", "/usr/local/bin"]
            .map(|at| Path::new(at).join(program))
            .into_iter()
            .find(|path| path.is_file())
            .ok_or_else(|| format!("{program} is not installed (motet-bench install)"))?;
        let me = std::env::current_exe().map_err(|error| error.to_string())?;
        let before = [me.display().to_string(), "supervised".to_owned(), "--".to_owned()];
        let process = Process::start(&program, &before, &args, &[])?;
        listening(port)
            .then_some(Some(Running(process)))
            .ok_or_else(|| format!("{} does not start", program.display()))
    }
}

impl Running {
    /// CPU time so far, in nanoseconds.
    pub(crate) fn cpu_ns(&self) -> u64 {
        cpu_ns_of(self.0.id())
    }

    /// Ends it.
    pub(crate) fn end(self) {
        self.0.end(Duration::from_secs(1));
    }
}

fn written(directory: &Path, name: &str, text: &str) -> Result<String, Failure> {
    let path = directory.join(name);
    std::fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(path.display().to_string())
}

fn listening(port: u16) -> bool {
    let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let begun = Instant::now();
    while begun.elapsed() < START {
        if TcpStream::connect_timeout(&addr, Duration::from_millis(200)).is_ok() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    false
}

/// A port of the loopback that is free now, for TCP and, as far as one can tell, UDP.
pub(crate) fn free_port() -> Result<u16, Failure> {
    let bound = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|bound| bound.local_addr());
    bound.map(|addr| addr.port()).map_err(|error| error.to_string())
}
