//! Free loopback ports that no other test on this machine takes meanwhile.

use std::fs::File;
use std::net::TcpListener;
use std::sync::Mutex;

use anyhow::{Context, Result, bail};

/// Below the range from which kernels take ports for outgoing connections, so that nothing slips in between our
/// asking and the server's binding.
const FIRST: u16 = 20_000;
const LAST: u16 = 31_000;

/// Locks held by this process, one per port given out. They are released when the process ends.
static HELD: Mutex<Vec<(u16, File)>> = Mutex::new(Vec::new());

/// A loopback port that is free now and stays reserved for this process until it ends.
///
/// # Errors
/// Fails when the reservation folder cannot be written, or no port is free.
pub fn free_port() -> Result<u16> {
    let folder = std::env::temp_dir().join("foresail-ports");
    std::fs::create_dir_all(&folder).context("creating the folder of port reservations")?;
    let mut held = HELD.lock().map_err(|_| anyhow::anyhow!("port reservations are poisoned"))?;
    let span = LAST - FIRST;
    // Processes begin in different places, so that they rarely meet.
    let start = (std::process::id().wrapping_mul(2_654_435_761) >> 8) as u16 % span;
    for step in 0..span {
        let port = FIRST + (start + step) % span;
        if held.iter().any(|(taken, _)| *taken == port) {
            continue;
        }
        let Ok(file) = File::create(folder.join(port.to_string())) else { continue };
        if file.try_lock().is_err() || TcpListener::bind(("127.0.0.1", port)).is_err() {
            continue;
        }
        held.push((port, file));
        return Ok(port);
    }
    bail!("no free loopback port between {FIRST} and {LAST}")
}

/// How many established connections of this machine go to a loopback port.
///
/// # Errors
/// Fails where the kernel does not list its connections.
pub fn connections_to(port: u16) -> Result<usize> {
    const ESTABLISHED: &str = "01";
    let table = std::fs::read_to_string("/proc/net/tcp").context("reading the kernel's connections")?;
    let wanted = format!("0100007F:{port:04X}");
    let to_port = |line: &&str| {
        let mut fields = line.split_whitespace().skip(2);
        fields.next() == Some(wanted.as_str()) && fields.next() == Some(ESTABLISHED)
    };
    Ok(table.lines().filter(to_port).count())
}
