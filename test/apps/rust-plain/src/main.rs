use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;

fn main() -> std::io::Result<()> {
    let port = std::env::var("PORT").expect("PORT");
    let listener = TcpListener::bind(format!("0.0.0.0:{port}"))?;
    for stream in listener.incoming() {
        let mut stream = stream?;
        for line in BufReader::new(stream.try_clone()?).lines() {
            if line.map_or(true, |text| text.is_empty()) {
                break;
            }
        }
        let body = "hello from Rust\n";
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close", body.len());
        let _ = write!(stream, "{head}\r\n\r\n{body}");
    }
    Ok(())
}
