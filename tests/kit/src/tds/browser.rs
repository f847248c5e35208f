//! SQL Server Browser: says at which port an instance listens.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

const PORT: u16 = 1_434;

/// A running service on port 1434 of an address of the loopback network. Ends when dropped.
pub struct Browser {
    address: SocketAddr,
    ended: Arc<AtomicBool>,
}

impl Browser {
    /// Says for this instance this port, and nothing for others. Tests that run side by side take addresses of their
    /// own: 127.0.0.2, 127.0.0.3, …
    pub fn start(ip: Ipv4Addr, instance: &str, port: u16) -> io::Result<Self> {
        let socket = UdpSocket::bind((ip, PORT))?;
        let address = socket.local_addr()?;
        let ended = Arc::new(AtomicBool::new(false));
        let (over, instance) = (Arc::clone(&ended), instance.to_owned());
        std::thread::Builder::new().name("browser".into()).spawn(move || {
            let mut asked = [0_u8; 512];
            while let Ok((length, client)) = socket.recv_from(&mut asked) {
                if over.load(Ordering::SeqCst) {
                    return;
                }
                if let Some([0x04, name @ ..]) = asked.get(..length)
                    && name.eq_ignore_ascii_case(instance.as_bytes())
                {
                    socket.send_to(&answer(&instance, port), client).ok();
                }
            }
        })?;
        Ok(Self { address, ended })
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        // Wakes the thread that waits for questions.
        UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|it| it.send_to(&[0], self.address)).ok();
    }
}

fn answer(instance: &str, port: u16) -> Vec<u8> {
    let text =
        format!("ServerName;DOUBLE;InstanceName;{instance};IsClustered;No;Version;16.0.1000.6;tcp;{port};;");
    let length = u16::try_from(text.len()).unwrap_or_default();
    [&[0x05][..], &length.to_le_bytes(), text.as_bytes()].concat()
}
