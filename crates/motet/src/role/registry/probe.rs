//! Making one check: a connection, a page, a program.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper::{Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use motet_proto::roles::checks::{Health, Probe};
use motet_proto::roles::registrations::Job;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

/// What came of it: within the time of the check, whatever it looks at.
pub(super) async fn run(job: Job, commands: Option<PathBuf>) -> (u64, Health, String) {
    let looked = tokio::time::timeout(job.timeout, look(&job, commands.as_deref())).await;
    let late = || Err(format!("no result within {:?}", job.timeout));
    let (health, text) = match looked.unwrap_or_else(|_| late()) {
        Ok(found) => found,
        Err(text) => (Health::Critical, text),
    };
    (job.ticket, health, text)
}

async fn look(job: &Job, commands: Option<&Path>) -> Result<(Health, String), String> {
    match &job.probe {
        Probe::Ttl => Err("nobody but its owner can tell".to_owned()),
        Probe::Tcp(target) => {
            TcpStream::connect(target).await.map_err(|error| format!("{target}: {error}"))?;
            Ok((Health::Passing, String::new()))
        }
        Probe::Http(target) => page(target).await.map(|status| match status {
            StatusCode::TOO_MANY_REQUESTS => (Health::Warning, format!("{target}: {status}")),
            status if status.is_success() => (Health::Passing, String::new()),
            status => (Health::Critical, format!("{target}: {status}")),
        }),
        Probe::Command(name) => {
            let folder = commands.ok_or("this registry runs no programs")?;
            program(&folder.join(name), job).await
        }
    }
}

async fn page(target: &str) -> Result<StatusCode, String> {
    let wrong = |error: &dyn std::fmt::Display| format!("{target}: {error}");
    let uri: Uri = target.parse().map_err(|error| wrong(&error))?;
    let authority = uri.authority().ok_or_else(|| wrong(&"no host"))?;
    let host = authority.host().trim_matches(['[', ']']);
    let stream = TcpStream::connect((host, authority.port_u16().unwrap_or(80))).await;
    let io = TokioIo::new(stream.map_err(|error| wrong(&error))?);
    let (mut sender, connection) = http1::handshake(io).await.map_err(|error| wrong(&error))?;
    let path = uri.path_and_query().map_or("/", |it| it.as_str());
    let request = Request::get(path)
        .header("host", authority.as_str())
        .header("user-agent", "motet-registry")
        .header("connection", "close")
        .body(Empty::<&[u8]>::new())
        .map_err(|error| wrong(&error))?;
    let mut connection = std::pin::pin!(connection);
    let mut answer = std::pin::pin!(sender.send_request(request));
    loop {
        tokio::select! {
            answer = &mut answer => {
                return answer.map(|it| it.status()).map_err(|error| wrong(&error));
            }
            ended = &mut connection => ended.map_err(|error| wrong(&error))?,
        }
    }
}

/// A program and all that it started, ended with this.
struct Group(Child);

impl Drop for Group {
    fn drop(&mut self) {
        // Not yet waited for: its number is still its own.
        let id = self.0.id().and_then(|id| i32::try_from(id).ok());
        if let Some(group) = id.and_then(rustix::process::Pid::from_raw) {
            // It may have ended just now.
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
    }
}

async fn program(path: &Path, job: &Job) -> Result<(Health, String), String> {
    let mut command = Command::new(path);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .process_group(0)
        .env("MOTET_SERVICE", &job.of.service)
        .env("MOTET_INSTANCE", &job.of.instance)
        .env("MOTET_ADDRESS", &job.address);
    let child = command.spawn().map_err(|error| format!("{}: {error}", path.display()))?;
    let mut group = Group(child);
    let status = group.0.wait().await.map_err(|error| error.to_string())?;
    Ok(match status.code() {
        Some(0) => (Health::Passing, String::new()),
        Some(1) => (Health::Warning, "the program warns".to_owned()),
        _ => (Health::Critical, format!("the program ended with {status}")),
    })
}
