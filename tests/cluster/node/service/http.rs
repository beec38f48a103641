//! As much of HTTP as the service needs: a GET without a body, an answer, and the connection ends.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    time::Duration,
};

/// A client that has not sent its request by then is not waited for.
const PATIENCE: Duration = Duration::from_secs(5);
/// Longest head of a request.
const MOST: usize = 8 << 10;

/// The path of the request; nothing when there is none.
pub(crate) fn path(stream: &mut TcpStream) -> Option<String> {
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    let mut head = Vec::new();
    let mut block = [0; 1024];
    while !head.windows(4).any(|w| w == b"\r\n\r\n") {
        let n = stream.read(&mut block).ok().filter(|n| *n > 0)?;
        head.extend_from_slice(&block[..n]);
        if head.len() > MOST {
            return None;
        }
    }
    let line = String::from_utf8_lossy(&head);
    line.split_whitespace().nth(1).map(str::to_owned)
}

/// Answers; a client that has gone is no mistake.
pub(crate) fn answer(mut stream: TcpStream, status: &str, text: &str) {
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        text.len()
    );
    drop(stream.write_all(format!("{head}{text}").as_bytes()));
    drop(stream);
}
