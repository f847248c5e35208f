//! A TCP proxy that breaks connections the ways networks do, switched while it runs.
//!
//! ```no_run
//! # use vestibule_testkit::proxy::{Proxy, Way};
//! # let server = std::net::SocketAddr::from(([127, 0, 0, 1], 5432));
//! let proxy = Proxy::start(server)?;      // clients go to proxy.address()
//! proxy.black_hole(Way::ToClient);        // replies vanish, connections stay open
//! proxy.pass();                           // what was held back arrives
//! proxy.cut_after(1_000);                 // RST in the middle of whatever byte that is
//! # Ok::<(), std::io::Error>(())
//! ```

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{ReadHalf, WriteHalf},
    },
    sync::watch,
    task::JoinSet,
    time::sleep,
};

/// The directions of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// From the client to the server.
    ToServer,
    /// From the server to the client.
    ToClient,
    /// Both.
    Both,
}

impl Way {
    fn covers(self, way: Way) -> bool {
        self == Self::Both || self == way
    }
}

/// How the network is. A change of `resets` or `halves` is an event for the connections that are open.
#[derive(Debug, Clone, Copy, Default)]
struct Weather {
    hole: Option<Way>,
    refuse: bool,
    delay: Duration,
    /// Bytes a second; 0: no limit.
    rate: u64,
    resets: u64,
    halves: u64,
    half: Option<Way>,
    over: bool,
}

#[derive(Default)]
struct Counts {
    connections: AtomicU64,
    bytes: AtomicU64,
    /// Bytes until everything is reset; below zero: never.
    left: AtomicI64,
}

/// A running proxy in front of one server. It has a thread of its own, so it works below a blocked test as well; it
/// ends, and resets all its connections, when it is dropped.
pub struct Proxy {
    address: SocketAddr,
    weather: Arc<watch::Sender<Weather>>,
    counts: Arc<Counts>,
    thread: Option<JoinHandle<()>>,
}

impl Proxy {
    /// Listens on a free port of 127.0.0.1 below 32768 and passes everything on to `server`, which need not run yet:
    /// while it does not, clients are reset.
    pub fn start(server: SocketAddr) -> io::Result<Self> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, crate::process::free_port()?));
        let listener = std::net::TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
        let weather = Arc::new(watch::Sender::new(Weather::default()));
        let counts = Arc::new(Counts { left: AtomicI64::new(-1), ..Counts::default() });
        let line = Line { server, weather: Arc::clone(&weather), counts: Arc::clone(&counts) };
        let serve = move || runtime.block_on(line.serve(listener));
        let thread = std::thread::Builder::new().name("proxy".into()).spawn(serve)?;
        Ok(Self { address, weather, counts, thread: Some(thread) })
    }

    /// Where clients connect to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Back to a good network: no hole, refusal, delay, rate or cut. What a black hole held back arrives now.
    pub fn pass(&self) {
        self.counts.left.store(-1, Ordering::SeqCst);
        self.change(|it| *it = Weather { resets: it.resets, halves: it.halves, ..Weather::default() });
    }

    /// Moves no byte this way any more, on open and new connections; nobody is told. The other way goes on.
    pub fn black_hole(&self, way: Way) {
        self.change(|it| it.hole = Some(way));
    }

    /// Resets (RST) every open connection, on both sides; new ones are taken.
    pub fn reset(&self) {
        self.change(|it| it.resets += 1);
    }

    /// Resets every open connection and every new one, until [`Proxy::pass`].
    pub fn refuse(&self) {
        self.change(|it| {
            it.refuse = true;
            it.resets += 1;
        });
    }

    /// Holds each piece of data back for this long, each way.
    pub fn delay(&self, by: Duration) {
        self.change(|it| it.delay = by);
    }

    /// Moves about this many bytes a second on each connection, each way. 0: no limit.
    pub fn rate(&self, bytes_a_second: u64) {
        self.change(|it| it.rate = bytes_a_second);
    }

    /// Ends this way of every open connection (FIN) as if its sender had; the other way stays open.
    pub fn half_close(&self, way: Way) {
        self.change(|it| {
            it.half = Some(way);
            it.halves += 1;
        });
    }

    /// After so many more bytes, counted over all connections and both ways, every open connection is reset, once.
    pub fn cut_after(&self, bytes: u32) {
        self.counts.left.store(bytes.into(), Ordering::SeqCst);
    }

    /// How many connections were passed on so far.
    pub fn connections(&self) -> u64 {
        self.counts.connections.load(Ordering::SeqCst)
    }

    /// How many bytes were moved so far, both ways.
    pub fn bytes(&self) -> u64 {
        self.counts.bytes.load(Ordering::SeqCst)
    }

    fn change(&self, change: impl FnOnce(&mut Weather)) {
        self.weather.send_modify(change);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.change(|it| it.over = true);
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

#[derive(Clone)]
struct Line {
    server: SocketAddr,
    weather: Arc<watch::Sender<Weather>>,
    counts: Arc<Counts>,
}

impl Line {
    async fn serve(self, listener: std::net::TcpListener) {
        let Ok(listener) = TcpListener::from_std(listener) else { return };
        let mut weather = self.weather.subscribe();
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                client = listener.accept() => if let Ok((client, _)) = client {
                    connections.spawn(self.clone().carry(client));
                },
                Some(_) = connections.join_next() => {}
                _ = weather.wait_for(|it| it.over) => break,
            }
        }
        // Each of them sees that it is over and resets.
        while connections.join_next().await.is_some() {}
    }

    async fn carry(self, mut client: TcpStream) {
        let now = *self.weather.borrow();
        let server = if now.refuse { None } else { TcpStream::connect(self.server).await.ok() };
        let Some(mut server) = server else {
            client.set_zero_linger().ok();
            return;
        };
        client.set_nodelay(true).ok();
        server.set_nodelay(true).ok();
        self.counts.connections.fetch_add(1, Ordering::SeqCst);
        let broken = {
            let ((from_client, to_client), (from_server, to_server)) = (client.split(), server.split());
            let mut events = self.weather.subscribe();
            let both = async {
                let (up, down) = tokio::join!(
                    self.pump(from_client, to_server, Way::ToServer, now.halves),
                    self.pump(from_server, to_client, Way::ToClient, now.halves),
                );
                up.is_err() || down.is_err()
            };
            tokio::select! {
                broken = both => broken,
                _ = events.wait_for(|it| it.resets > now.resets || it.over) => true,
            }
        };
        if broken {
            client.set_zero_linger().ok();
            server.set_zero_linger().ok();
        }
    }

    /// Moves bytes one way until their sender ends or the connection breaks, which is an error.
    async fn pump(
        &self,
        mut from: ReadHalf<'_>,
        mut to: WriteHalf<'_>,
        way: Way,
        halves: u64,
    ) -> io::Result<()> {
        let mut weather = self.weather.subscribe();
        let mut half = self.weather.subscribe();
        let mut piece = vec![0_u8; 16 * 1024];
        let halved = |it: &Weather| it.halves > halves && it.half.is_some_and(|it| it.covers(way));
        loop {
            let count = tokio::select! {
                count = from.read(&mut piece) => count?,
                _ = half.wait_for(halved) => 0,
            };
            let now =
                *weather.wait_for(|it| !it.hole.is_some_and(|it| it.covers(way))).await.map_err(gone)?;
            let bytes = piece.get(..count).unwrap_or_default();
            if bytes.is_empty() {
                // Who waits for a broken peer here would wait for ever.
                to.shutdown().await.ok();
                return self.swallow(from).await;
            }
            let length = u64::try_from(count).unwrap_or(u64::MAX);
            sleep(now.delay).await;
            if let Some(micros) = length.saturating_mul(1_000_000).checked_div(now.rate) {
                sleep(Duration::from_micros(micros)).await;
            }
            let (allowed, cut) = self.allowance(count);
            to.write_all(bytes.get(..allowed).unwrap_or_default()).await?;
            self.counts.bytes.fetch_add(u64::try_from(allowed).unwrap_or(u64::MAX), Ordering::SeqCst);
            if cut {
                self.weather.send_modify(|it| it.resets += 1);
                return Err(io::ErrorKind::ConnectionReset.into());
            }
        }
    }

    /// How many of so many bytes may go before the cut, and whether it falls here.
    fn allowance(&self, count: usize) -> (usize, bool) {
        let wanted = i64::try_from(count).unwrap_or(i64::MAX);
        let take = |left| (left >= 0).then(|| if left > wanted { left - wanted } else { -1 });
        let before = self.counts.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take);
        match before {
            Ok(left) if left <= wanted => (usize::try_from(left).unwrap_or(0), true),
            Ok(_) | Err(_) => (count, false),
        }
    }

    /// What a sender still writes after its way was closed goes nowhere.
    async fn swallow(&self, mut from: ReadHalf<'_>) -> io::Result<()> {
        let mut piece = vec![0_u8; 16 * 1024];
        while from.read(&mut piece).await? > 0 {}
        Ok(())
    }
}

fn gone(_: watch::error::RecvError) -> io::Error {
    io::ErrorKind::BrokenPipe.into()
}

#[cfg(test)]
mod tests {
    use std::{
        io::{ErrorKind, Read, Write},
        net::{Shutdown, TcpStream},
        thread,
        time::Instant,
    };

    use super::*;

    /// A server that sends back what it gets, and a proxy in front of it.
    fn echo() -> Proxy {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let serve = |mut stream: TcpStream| {
            let mut piece = [0; 4096];
            while let Ok(count @ 1..) = stream.read(&mut piece) {
                if stream.write_all(&piece[..count]).is_err() {
                    return;
                }
            }
            stream.write_all(b"end").ok();
        };
        let accept = move || {
            for stream in listener.incoming().flatten() {
                thread::Builder::new().spawn(move || serve(stream)).unwrap();
            }
        };
        thread::Builder::new().spawn(accept).unwrap();
        Proxy::start(address).unwrap()
    }

    fn client(proxy: &Proxy) -> TcpStream {
        let stream = TcpStream::connect(proxy.address()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream
    }

    fn asked(stream: &mut TcpStream, text: &[u8]) -> io::Result<Vec<u8>> {
        stream.write_all(text)?;
        let mut reply = vec![0; text.len()];
        stream.read_exact(&mut reply)?;
        Ok(reply)
    }

    /// What arrives within a moment; nothing where that is nothing.
    fn heard(stream: &mut TcpStream) -> Result<usize, ErrorKind> {
        stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        let heard = stream.read(&mut [0; 1]).map_err(|it| it.kind());
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        heard
    }

    #[test]
    fn a_good_network_passes_everything_and_the_end_of_it() {
        let proxy = echo();
        let mut stream = client(&proxy);
        let long: Vec<u8> = (0..=255).cycle().take(100_000).collect();
        let mut half = stream.try_clone().unwrap();
        let sent = long.clone();
        let writer = thread::Builder::new().spawn(move || half.write_all(&sent).unwrap()).unwrap();
        let mut reply = vec![0; long.len()];
        stream.read_exact(&mut reply).unwrap();
        writer.join().unwrap();
        assert_eq!(reply, long);
        stream.shutdown(Shutdown::Write).unwrap();
        let mut end = Vec::new();
        stream.read_to_end(&mut end).unwrap();
        assert_eq!(end, b"end");
        assert_eq!((proxy.connections(), proxy.bytes()), (1, 200_003));
    }

    #[test]
    fn a_black_hole_holds_back_until_the_network_is_good_again() {
        for way in [Way::ToServer, Way::ToClient, Way::Both] {
            let proxy = echo();
            let mut stream = client(&proxy);
            assert_eq!(asked(&mut stream, b"one").unwrap(), b"one", "{way:?}");
            proxy.black_hole(way);
            stream.write_all(b"two").unwrap();
            assert_eq!(heard(&mut stream), Err(ErrorKind::WouldBlock), "{way:?}");
            proxy.pass();
            let mut reply = [0; 3];
            stream.read_exact(&mut reply).unwrap();
            assert_eq!(&reply, b"two", "{way:?}");
        }
    }

    #[test]
    fn a_reset_ends_open_connections_and_a_refusal_new_ones_too() {
        let proxy = echo();
        let mut stream = client(&proxy);
        asked(&mut stream, b"one").unwrap();
        proxy.reset();
        assert_eq!(stream.read(&mut [0; 1]).unwrap_err().kind(), ErrorKind::ConnectionReset);
        assert!(asked(&mut client(&proxy), b"two").is_ok());
        proxy.refuse();
        assert!(asked(&mut client(&proxy), b"three").is_err());
        proxy.pass();
        assert!(asked(&mut client(&proxy), b"four").is_ok());
    }

    #[test]
    fn a_cut_falls_after_so_many_bytes_and_once() {
        let proxy = echo();
        let mut stream = client(&proxy);
        proxy.cut_after(15);
        stream.write_all(b"0123456789").unwrap();
        let mut reply = Vec::new();
        assert_eq!(stream.read_to_end(&mut reply).unwrap_err().kind(), ErrorKind::ConnectionReset);
        assert_eq!(proxy.bytes(), 15);
        assert!(asked(&mut client(&proxy), b"again").is_ok());
    }

    #[test]
    fn a_half_closed_connection_still_works_the_other_way() {
        let proxy = echo();
        let mut stream = client(&proxy);
        asked(&mut stream, b"one").unwrap();
        proxy.half_close(Way::ToServer);
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).unwrap();
        assert_eq!(rest, b"end", "the server saw the end and could still write");
        assert!(asked(&mut client(&proxy), b"two").is_ok(), "new connections are whole");
    }

    #[test]
    fn delay_and_rate_slow_down() {
        let proxy = echo();
        let mut stream = client(&proxy);
        proxy.delay(Duration::from_millis(50));
        let start = Instant::now();
        asked(&mut stream, b"one").unwrap();
        assert!(start.elapsed() >= Duration::from_millis(100), "each way");
        proxy.pass();
        proxy.rate(10_000);
        let start = Instant::now();
        asked(&mut stream, &[7; 1_000]).unwrap();
        assert!(start.elapsed() >= Duration::from_millis(200), "each way");
    }

    #[test]
    fn a_server_that_is_away_resets_its_clients() {
        let nobody = SocketAddr::from((Ipv4Addr::LOCALHOST, crate::process::free_port().unwrap()));
        let proxy = Proxy::start(nobody).unwrap();
        assert!(asked(&mut client(&proxy), b"one").is_err());
    }
}
