//! A slow line to a log: what goes there takes its time, and what comes back does not.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A TCP proxy before a server, with so many bytes a second on the way there, of all connections together.
pub struct Throttle {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    server: SocketAddr,
    bytes_per_second: u64,
    /// One piece at a time is on the line.
    line: Mutex<()>,
    sent: AtomicU64,
    stop: AtomicBool,
}

impl Throttle {
    /// A line to the server at this address.
    pub fn to(server: SocketAddr, bytes_per_second: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let (line, sent, stop) = (Mutex::new(()), AtomicU64::new(0), AtomicBool::new(false));
        let shared = Arc::new(Shared { server, bytes_per_second, line, sent, stop });
        let serving = shared.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if serving.stop.load(Ordering::SeqCst) {
                    return;
                }
                let serving = serving.clone();
                // Whoever hangs up ends it.
                std::thread::spawn(move || serving.carry(client));
            }
        });
        Self { address, shared }
    }

    /// Its address, as a log's.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The bytes that went to the server.
    pub fn sent(&self) -> u64 {
        self.shared.sent.load(Ordering::SeqCst)
    }
}

impl Drop for Throttle {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        // Wakes who waits for the next connection.
        let _ = TcpStream::connect(self.address);
    }
}

impl Shared {
    fn carry(&self, mut client: TcpStream) -> io::Result<()> {
        let mut server = TcpStream::connect(self.server)?;
        let (mut from, mut to) = (server.try_clone()?, client.try_clone()?);
        std::thread::spawn(move || {
            let _ = io::copy(&mut from, &mut to);
            let _ = to.shutdown(std::net::Shutdown::Both);
        });
        let mut piece = vec![0; (self.bytes_per_second / 50).max(1) as usize];
        loop {
            let read = client.read(&mut piece)?;
            if read == 0 {
                return server.shutdown(std::net::Shutdown::Write);
            }
            {
                let _line = self.line.lock().expect("no panic");
                std::thread::sleep(Duration::from_micros(read as u64 * 1_000_000 / self.bytes_per_second));
            }
            self.sent.fetch_add(read as u64, Ordering::SeqCst);
            server.write_all(&piece[..read])?;
        }
    }
}
