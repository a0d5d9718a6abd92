// SPDX-License-Identifier: Apache-2.0
use crate::cache::{Cache, Outcome};
use crate::message::{Answer, Kind, answer, question};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::pin;
use std::sync::Mutex;
use std::time::{Duration, SystemTime};
use tidegate_core::{Clock, Draw};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// Longest answer over UDP without EDNS (RFC 1035 §4.2.1); servers that send more are read all the same.
const LONGEST: usize = 4096;
/// Seconds for which a name is remembered to be none.
const NEGATIVE: u32 = 5;
/// Names that are looked up at a time.
const LOOK_UPS: usize = 256;
/// How often every server is asked.
const ROUNDS: u32 = 2;
/// How long addresses of one family wait for those of the other.
const BEHIND: Duration = Duration::from_millis(250);

/// Why a name has no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unresolved {
    /// There is no such name.
    NoName,
    /// It has no address.
    NoAddress,
    /// No server has answered, or none could say.
    Failed,
}

impl Unresolved {
    /// In a few words.
    pub fn detail(self) -> &'static str {
        match self {
            Self::NoName => "there is no such name",
            Self::NoAddress => "the name has no address",
            Self::Failed => "no DNS server has answered",
        }
    }
}

/// How names are looked up.
#[derive(Clone, Debug)]
pub struct ResolverSettings {
    /// Those that are asked; those of `/etc/resolv.conf`, and `/etc/hosts` before them, if empty.
    pub servers: Vec<SocketAddr>,
    /// For one look-up.
    pub timeout_ms: u64,
    /// Seconds for which an answer is remembered at most.
    pub most_ttl: u32,
}

/// Looks names up, and remembers what it found for as long as that holds.
pub struct Resolver {
    settings: ResolverSettings,
    cache: Cache,
    /// `/etc/resolv.conf` as it was read last.
    system: Mutex<(Option<SystemTime>, Vec<SocketAddr>)>,
    places: Semaphore,
}

/// The servers that a text in the form of `/etc/resolv.conf` names.
pub fn servers_of_system(text: &str) -> Vec<SocketAddr> {
    let lines = text.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let address = (words.next()? == "nameserver").then(|| words.next())??;
        address.parse::<IpAddr>().ok()
    });
    lines.map(|address| SocketAddr::new(address, 53)).collect()
}

impl Resolver {
    /// With nothing remembered.
    pub fn new(settings: ResolverSettings) -> Self {
        Self {
            settings,
            cache: Cache::default(),
            system: Mutex::default(),
            places: Semaphore::new(LOOK_UPS),
        }
    }

    /// The addresses of `name`, IPv6 and IPv4 in turn.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn look_up(&self, name: &str, clock: &Clock) -> Outcome {
        if let Some(known) = self.cache.get(name, clock.now()) {
            return known;
        }
        let uses_system = self.settings.servers.is_empty();
        let known = match uses_system {
            true => of_hosts(
                &std::fs::read_to_string("/etc/hosts").unwrap_or_default(),
                name,
            ),
            false => Vec::new(),
        };
        let (outcome, seconds) = match known.is_empty() {
            false => (Ok(known.into()), 5),
            true => {
                let limit = Duration::from_millis(self.settings.timeout_ms);
                let asked = timeout(limit, self.ask(name)).await;
                asked.unwrap_or((Err(Unresolved::Failed), 0))
            }
        };
        let seconds = seconds.min(self.settings.most_ttl);
        self.cache.put(name, &outcome, clock.now(), seconds);
        outcome
    }

    async fn ask(&self, name: &str) -> (Outcome, u32) {
        let _place = self.places.acquire().await;
        let servers = self.servers();
        let four = self.ask_for(name, Kind::A, &servers);
        let six = self.ask_for(name, Kind::Aaaa, &servers);
        let (four, six) = both(four, six).await;
        let mut least = u32::MAX;
        let mut lists: [Vec<IpAddr>; 2] = Default::default();
        for (list, found) in lists.iter_mut().zip([&six, &four]) {
            if let Answer::Found(addresses, ttl) = found {
                list.extend(addresses);
                if !addresses.is_empty() {
                    least = least.min(*ttl);
                }
            }
        }
        let [mut six_list, mut four_list] = lists.map(Vec::into_iter);
        let mut found: Vec<IpAddr> = Vec::new();
        loop {
            let before = found.len();
            found.extend(six_list.next());
            found.extend(four_list.next());
            if found.len() == before {
                break;
            }
        }
        if !found.is_empty() {
            // Of a family that could not be said it is not remembered that it has none.
            let is_half = four == Answer::Failed || six == Answer::Failed;
            return (Ok(found.into()), if is_half { 0 } else { least });
        }
        match (four, six) {
            (Answer::NoName, _) | (_, Answer::NoName) => (Err(Unresolved::NoName), NEGATIVE),
            (Answer::Found(..), Answer::Found(..)) => (Err(Unresolved::NoAddress), NEGATIVE),
            _ => (Err(Unresolved::Failed), 0),
        }
    }

    async fn ask_for(&self, name: &str, kind: Kind, servers: &[SocketAddr]) -> Answer {
        let tries = ROUNDS * servers.len().max(1) as u32;
        let each = Duration::from_millis((self.settings.timeout_ms / u64::from(tries)).max(100));
        for server in (0..ROUNDS).flat_map(|_| servers) {
            match timeout(each, ask_one(name, kind, *server)).await {
                Ok(Ok(Answer::Failed)) | Ok(Err(_)) | Err(_) => {}
                Ok(Ok(answer)) => return answer,
            }
        }
        Answer::Failed
    }

    fn servers(&self) -> Vec<SocketAddr> {
        if !self.settings.servers.is_empty() {
            return self.settings.servers.clone();
        }
        let path = "/etc/resolv.conf";
        let changed = std::fs::metadata(path)
            .and_then(|found| found.modified())
            .ok();
        let mut system = self
            .system
            .lock()
            .unwrap_or_else(|error| error.into_inner());
        if system.0 != changed || changed.is_none() {
            let text = std::fs::read_to_string(path).unwrap_or_default();
            *system = (changed, servers_of_system(&text));
        }
        system.1.clone()
    }
}

/// Both answers; when one has addresses, the other is waited for a little only (RFC 8305 §3).
async fn both(
    four: impl Future<Output = Answer>,
    six: impl Future<Output = Answer>,
) -> (Answer, Answer) {
    let (mut four, mut six) = (pin!(four), pin!(six));
    let has_some = |answer: &Answer| matches!(answer, Answer::Found(list, _) if !list.is_empty());
    tokio::select! {
        first = &mut four => match has_some(&first) {
            true => (first, timeout(BEHIND, six).await.unwrap_or(Answer::Failed)),
            false => (first, six.await),
        },
        first = &mut six => match has_some(&first) {
            true => (timeout(BEHIND, four).await.unwrap_or(Answer::Failed), first),
            false => (four.await, first),
        },
    }
}

/// What a text in the form of `/etc/hosts` says of `name`.
pub(crate) fn of_hosts(text: &str, name: &str) -> Vec<IpAddr> {
    let lines = text.lines().filter_map(|line| {
        let mut words = line.split('#').next()?.split_whitespace();
        let address: IpAddr = words.next()?.parse().ok()?;
        words
            .any(|word| word.eq_ignore_ascii_case(name))
            .then_some(address)
    });
    let mut found: Vec<IpAddr> = lines.collect();
    // Every machine is called so, whatever its files say (RFC 6761 §6.3).
    if found.is_empty() && (name == "localhost" || name.ends_with(".localhost")) {
        found = vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
    }
    found
}

async fn ask_one(name: &str, kind: Kind, server: SocketAddr) -> io::Result<Answer> {
    let id = Draw::from_entropy().bits() as u16;
    let Some(asked) = question(id, name, kind) else {
        return Ok(Answer::NoName);
    };
    let own: SocketAddr = match server.is_ipv4() {
        true => (Ipv4Addr::UNSPECIFIED, 0).into(),
        false => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    // A port of its own for each question, and nobody else's datagrams.
    let socket = UdpSocket::bind(own).await?;
    socket.connect(server).await?;
    socket.send(&asked).await?;
    let mut buffer = [0; LONGEST];
    let found = loop {
        let count = socket.recv(&mut buffer).await?;
        let bytes = buffer.get(..count).unwrap_or_default();
        if let Some(found) = answer(bytes, &asked, name, kind) {
            break found;
        }
    };
    match found {
        Answer::Cut => ask_over_tcp(name, kind, server, &asked).await,
        found => Ok(found),
    }
}

async fn ask_over_tcp(
    name: &str,
    kind: Kind,
    server: SocketAddr,
    asked: &[u8],
) -> io::Result<Answer> {
    let mut stream = TcpStream::connect(server).await?;
    let mut out = (asked.len() as u16).to_be_bytes().to_vec();
    out.extend_from_slice(asked);
    stream.write_all(&out).await?;
    let length = stream.read_u16().await?;
    let mut bytes = vec![0; usize::from(length)];
    stream.read_exact(&mut bytes).await?;
    Ok(answer(&bytes, asked, name, kind).unwrap_or(Answer::Failed))
}
