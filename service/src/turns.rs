//! Turns at work that takes long: so many at a time, and so many of them for one client.
//!
//! The next turn goes to the client that had none for the longest time. First come, first served would give all turns to
//! the client that asks most often.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use crate::addresses::network;
use crate::shares::Standing;

/// So many turns at a time.
#[derive(Clone, Debug)]
pub struct Turns(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    at_once: usize,
    each: usize,
    running: usize,
    clients: HashMap<IpAddr, Client>,
    /// Turns that were asked for, and given, so far: clocks that have no ties.
    asked: u64,
    given: u64,
    gave_up: u64,
}

#[derive(Debug, Default)]
struct Client {
    running: usize,
    /// Who waits, each with the number of its question.
    waiting: VecDeque<(u64, oneshot::Sender<Turn>)>,
    /// The number of its last turn; 0 before its first.
    last: u64,
}

/// A turn, until it is dropped.
#[derive(Debug)]
pub struct Turn {
    of: Turns,
    client: IpAddr,
}

impl Turns {
    /// `at_once` turns at a time, of which one client has at most `each`.
    pub fn new(at_once: usize, each: usize) -> Self {
        Self(Arc::new(Mutex::new(State {
            at_once: at_once.max(1),
            each: each.max(1),
            running: 0,
            clients: HashMap::new(),
            asked: 0,
            given: 0,
            gave_up: 0,
        })))
    }

    /// Waits for a turn; `None` if it does not come in time.
    pub async fn turn(&self, client: IpAddr, patience: Duration) -> Option<Turn> {
        let turn = tokio::time::timeout(patience, self.ask(network(client))).await;
        // The sender is dropped only with the turns themselves.
        let turn = turn.ok().and_then(Result::ok);
        if turn.is_none() {
            self.lock().gave_up += 1;
        }
        turn
    }

    fn ask(&self, client: IpAddr) -> oneshot::Receiver<Turn> {
        let (sender, receiver) = oneshot::channel();
        let mut state = self.lock();
        state.asked += 1;
        let asked = state.asked;
        state.clients.entry(client).or_default().waiting.push_back((asked, sender));
        drop(state);
        self.give();
        receiver
    }

    /// The turns that are taken, and who holds most. `refused_whole` counts clients that gave up waiting.
    pub fn standing(&self) -> Standing {
        let state = self.lock();
        let busy = state.clients.iter().filter(|(_, client)| client.running > 0);
        let most = busy.max_by_key(|(_, client)| client.running);
        Standing {
            whole: state.at_once as u64,
            taken: state.running as u64,
            most: most.map(|(address, client)| (*address, client.running as u64)),
            refused_share: 0,
            refused_whole: state.gave_up,
        }
    }

    /// Gives every turn that can be given.
    fn give(&self) {
        while let Some((client, sender)) = self.next() {
            // A client that gave up drops the turn, and the drop gives it to the next one.
            let _ = sender.send(Turn { of: self.clone(), client });
        }
    }

    /// Takes a turn for the next client, if a turn is free and somebody waits.
    fn next(&self) -> Option<(IpAddr, oneshot::Sender<Turn>)> {
        let mut state = self.lock();
        let State { at_once, each, running, clients, given, .. } = &mut *state;
        if *running >= *at_once {
            return None;
        }
        for client in clients.values_mut() {
            while client.waiting.front().is_some_and(|(_, sender)| sender.is_closed()) {
                client.waiting.pop_front();
            }
        }
        let ready = clients.iter_mut().filter(|(_, client)| client.running < *each);
        let ready = ready.filter_map(|(address, client)| Some((client.waiting.front()?.0, address, client)));
        let (_, address, client) = ready.min_by_key(|(asked, _, client)| (client.last, *asked))?;
        let (_, sender) = client.waiting.pop_front()?;
        *given += 1;
        *running += 1;
        client.running += 1;
        client.last = *given;
        Some((*address, sender))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut state = self.of.lock();
        state.running -= 1;
        let oldest = state.given.saturating_sub(REMEMBERED);
        if let Some(client) = state.clients.get_mut(&self.client) {
            client.running -= 1;
        }
        if state.clients.len() as u64 > 2 * REMEMBERED {
            state
                .clients
                .retain(|_, client| client.running > 0 || !client.waiting.is_empty() || client.last > oldest);
        }
        drop(state);
        self.of.give();
    }
}

/// A client's last turn is forgotten after so many further ones.
const REMEMBERED: u64 = 1_024;

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    /// A turn, or nothing as soon as everybody who can go on has gone on.
    async fn try_turn(turns: &Turns, client: u8) -> Option<Turn> {
        turns.turn(address(client), Duration::ZERO).await
    }

    #[tokio::test]
    async fn a_client_has_its_turns_and_leaves_others_theirs() {
        let turns = Turns::new(2, 1);
        let first = try_turn(&turns, 1).await.expect("a turn");
        assert!(try_turn(&turns, 1).await.is_none(), "one at a time");
        let other = try_turn(&turns, 2).await.expect("another's turn");
        assert!(try_turn(&turns, 3).await.is_none(), "two at a time");
        drop(other);
        let third = try_turn(&turns, 3).await.expect("who gave up took no turn");
        drop((first, third));
        let standing = turns.standing();
        assert_eq!((standing.taken, standing.most, standing.refused_whole), (0, None, 2));
    }

    #[tokio::test]
    async fn who_had_no_turn_for_the_longest_time_is_next() {
        let turns = Turns::new(1, 1);
        let mut running = try_turn(&turns, 1).await.expect("a turn");
        let (said, mut order) = tokio::sync::mpsc::unbounded_channel();
        // Client 1 comes five times before 2 and 3 come once.
        let mut waiting = Vec::new();
        for client in [1, 1, 1, 1, 1, 2, 3] {
            let (turns, said) = (turns.clone(), said.clone());
            waiting.push(tokio::spawn(async move {
                let turn = turns.turn(address(client), Duration::from_secs(60)).await.expect("a turn");
                said.send((client, turn)).expect("the test listens");
            }));
            tokio::task::yield_now().await;
        }
        let mut seen = Vec::new();
        for _ in 0..7 {
            drop(running);
            let (client, turn) = order.recv().await.expect("the next turn");
            seen.push(client);
            running = turn;
        }
        assert_eq!(seen, [2, 3, 1, 1, 1, 1, 1]);
    }
}
