//! Readers over sockets that are kept open, each asking for one path again and again.

use std::{io, net::SocketAddr, time::Duration};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    task::JoinSet,
    time::{Instant, sleep_until},
};

/// Who is asked, and how.
#[derive(Debug, Clone, Copy)]
pub(super) struct Target {
    address: SocketAddr,
    gzip: bool,
}

/// What one reader does.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) path: String,
    /// From one request to the next.
    pub(super) period: Duration,
}

/// How long the answers of one path took.
#[derive(Debug)]
pub struct Latency {
    /// The path.
    pub path: String,
    /// Length of the newest body.
    pub bytes: usize,
    /// Seconds, in order.
    sorted: Vec<f64>,
}

impl Latency {
    pub(super) fn new(path: String, bytes: usize, mut seconds: Vec<f64>) -> Self {
        seconds.sort_by(f64::total_cmp);
        Self {
            path,
            bytes,
            sorted: seconds,
        }
    }

    /// How many answers were measured.
    pub fn count(&self) -> usize {
        self.sorted.len()
    }

    /// The least of the measured seconds that this share of them does not exceed; 0 where there is none.
    pub fn quantile(&self, share: f64) -> f64 {
        let rank = (share * self.sorted.len() as f64).ceil() as usize;
        let place = rank.clamp(1, self.sorted.len().max(1)) - 1;
        self.sorted.get(place).copied().unwrap_or(0.0)
    }
}

/// Reads every path by its plan, all at once.
pub(super) async fn read(
    target: &Target,
    plans: &[Plan],
    lasts: Duration,
) -> Result<Vec<Latency>, String> {
    let mut readers = JoinSet::new();
    let began = Instant::now();
    for (place, plan) in plans.iter().enumerate() {
        let (target, plan) = (*target, plan.clone());
        // Not all at the same moment.
        let first = began + plan.period.mul_f64(place as f64 / plans.len() as f64);
        readers.spawn(async move {
            let path = plan.path.clone();
            let read = reader(&target, plan, first, began + lasts).await;
            (place, read.map_err(|error| format!("{path}: {error}")))
        });
    }
    let mut found = Vec::new();
    while let Some(read) = readers.join_next().await {
        let (place, latency) = read.map_err(|panic| panic.to_string())?;
        found.push((place, latency?));
    }
    found.sort_by_key(|(place, _)| *place);
    Ok(found.into_iter().map(|(_, latency)| latency).collect())
}

async fn reader(target: &Target, plan: Plan, first: Instant, end: Instant) -> io::Result<Latency> {
    let mut connection = target.connect().await?;
    let (mut due, mut seconds, mut body) = (first, Vec::new(), Vec::new());
    while due < end {
        let is_late = Instant::now() > due;
        sleep_until(due).await;
        // A timer wakes up to a millisecond late, which is not the server's doing; an answer that kept the next
        // request from being sent in time is.
        let began = if is_late { due } else { Instant::now() };
        let status = target.ask(&mut connection, &plan.path, &mut body).await?;
        seconds.push(began.elapsed().as_secs_f64());
        if status != 200 {
            let text = String::from_utf8_lossy(&body).into_owned();
            return Err(io::Error::other(format!("status {status}: {text}")));
        }
        due += plan.period;
    }
    Ok(Latency::new(plan.path, body.len(), seconds))
}

type Connection = BufReader<TcpStream>;

impl Target {
    pub(super) fn new(address: SocketAddr, gzip: bool) -> Self {
        Self { address, gzip }
    }

    /// Asks once: the status and the body.
    pub(super) async fn get(&self, path: &str) -> io::Result<(u16, String)> {
        let plain = Self {
            gzip: false,
            ..*self
        };
        let (mut connection, mut body) = (plain.connect().await?, Vec::new());
        let status = plain.ask(&mut connection, path, &mut body).await?;
        Ok((status, String::from_utf8_lossy(&body).into_owned()))
    }

    async fn connect(&self) -> io::Result<Connection> {
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        Ok(BufReader::with_capacity(1 << 16, stream))
    }

    /// Sends a request and reads its answer to the last byte.
    async fn ask(
        &self,
        connection: &mut Connection,
        path: &str,
        body: &mut Vec<u8>,
    ) -> io::Result<u16> {
        let encoding = if self.gzip { "gzip" } else { "identity" };
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {}\r\nAccept-Encoding: {encoding}\r\n\r\n",
            self.address
        );
        connection.get_mut().write_all(request.as_bytes()).await?;
        let (mut line, mut status, mut length) = (String::new(), None, None);
        loop {
            line.clear();
            if connection.read_line(&mut line).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let text = line.trim_end();
            if text.is_empty() {
                break;
            }
            if status.is_none() {
                status = text.split(' ').nth(1).and_then(|code| code.parse().ok());
            } else if let Some((name, value)) = text.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().ok();
            }
        }
        let (Some(status), Some(length)) = (status, length) else {
            return Err(io::Error::other("no status or no length"));
        };
        body.resize(length, 0);
        connection.read_exact(body).await?;
        Ok(status)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_a_measured_value_that_the_share_does_not_exceed() {
        let latency = Latency::new("/".to_owned(), 1, (1..=100).rev().map(f64::from).collect());
        let found = [0.5, 0.95, 0.99, 1.0, 0.0].map(|share| latency.quantile(share));
        assert_eq!(found, [50.0, 95.0, 99.0, 100.0, 1.0]);
        assert_eq!(
            Latency::new(String::new(), 0, Vec::new()).quantile(0.5),
            0.0
        );
    }
}
