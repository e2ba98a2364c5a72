//! The loopback port that a browser comes back to. It understands just enough of HTTP to read one line and answer with a page.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

/// A request line with a code in it is a few hundred bytes; cookies of other programs on localhost come along.
const LONGEST: usize = 64 * 1024;
/// Browsers connect ahead of a request that may never come.
const SILENCE: Duration = Duration::from_secs(5);

pub(super) struct Listener {
    four: TcpListener,
    /// `localhost` is this one first, on many machines.
    six: Option<TcpListener>,
    port: u16,
}

/// A browser that asked for `/callback`.
pub(super) struct Visit {
    stream: TcpStream,
    query: String,
}

impl Listener {
    /// Port 0: any.
    pub(super) async fn bind(port: u16) -> io::Result<Self> {
        let four = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await?;
        let port = four.local_addr()?.port();
        let six = TcpListener::bind(SocketAddr::from((Ipv6Addr::LOCALHOST, port))).await.ok();
        Ok(Self { four, six, port })
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// The next that asks for `/callback`. What asks for something else is told that there is nothing.
    pub(super) async fn visit(&self) -> io::Result<Visit> {
        loop {
            let mut stream = self.accept().await?;
            let Ok(Some(target)) = timeout(SILENCE, target(&mut stream)).await else { continue };
            let (path, query) = target.split_once('?').unwrap_or((&target, ""));
            let visit = Visit { stream, query: query.to_owned() };
            if path == "/callback" {
                return Ok(visit);
            }
            visit.answer(404, "There is nothing here.").await;
        }
    }

    async fn accept(&self) -> io::Result<TcpStream> {
        let accepted = match &self.six {
            Some(six) => tokio::select! { one = self.four.accept() => one, one = six.accept() => one },
            None => self.four.accept().await,
        };
        accepted.map(|(stream, _)| stream)
    }
}

/// What a GET asks for; `None`: no GET, or nothing that is HTTP.
async fn target(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    let mut piece = [0; 4096];
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        let read = stream.read(&mut piece).await.ok()?;
        if read == 0 || head.len() > LONGEST {
            return None;
        }
        head.extend_from_slice(&piece[..read]);
    }
    let line = head.split(|byte| *byte == b'\r').next()?;
    let line = std::str::from_utf8(line).ok()?;
    line.strip_prefix("GET ")?.split(' ').next().map(str::to_owned)
}

impl Visit {
    pub(super) fn query(&self) -> &str {
        &self.query
    }

    /// Whether the browser still listens is not our concern.
    pub(super) async fn answer(mut self, status: u16, text: &str) {
        let text = text.replace('&', "&amp;").replace('<', "&lt;");
        let page = format!(
            "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>loopd</title>\
             <body style=\"font: 1.1rem sans-serif; margin: 4rem\"><p>{text}</p></body></html>\n"
        );
        let answer = format!(
            "HTTP/1.1 {status} {}\r\ncontent-type: text/html; charset=utf-8\r\ncontent-length: {}\r\n\
             cache-control: no-store\r\nreferrer-policy: no-referrer\r\nconnection: close\r\n\r\n{page}",
            match status {
                200 => "OK",
                404 => "Not Found",
                _ => "Bad Request",
            },
            page.len()
        );
        let _ = self.stream.write_all(answer.as_bytes()).await;
        let _ = self.stream.shutdown().await;
    }
}
