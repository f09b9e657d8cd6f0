//! Calls between processes: each message is delayed, lost, doubled or overtaken as the seed says.
//!
//! A caller learns an answer, that nobody was there, or nothing. When it learns nothing, its request may have been heard,
//! may be heard later, or never.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use crate::executor::{Process, Sim};

/// How messages travel.
#[derive(Clone, Debug)]
pub struct Weather {
    /// The shortest and the longest way of most messages.
    pub delay: (Duration, Duration),
    /// The longest way of a slow one.
    pub slow_delay: Duration,
    /// How many of a thousand are slow.
    pub slow: u64,
    /// How many of a thousand are lost.
    pub lost: u64,
    /// How many of a thousand requests arrive twice.
    pub doubled: u64,
}

impl Weather {
    /// Nothing is lost, nothing is late.
    pub fn calm() -> Self {
        let delay = (Duration::from_micros(100), Duration::from_millis(2));
        Self { delay, slow_delay: Duration::ZERO, slow: 0, lost: 0, doubled: 0 }
    }
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum CallError {
    /// Nobody was there: the request was certainly not heard.
    Refused,
    /// Nobody knows.
    NoAnswer,
}

/// What carries messages. Cheap to clone.
#[derive(Clone)]
pub struct Network {
    sim: Sim,
    /// Messages on their way are its tasks: they go on when the sender is dead.
    wire: Process,
    weather: Arc<Mutex<Weather>>,
}

/// A task that answers.
pub type Answering<A> = Pin<Box<dyn Future<Output = A> + Send>>;

type Serving<Q, A> = (u64, Handler<Q, A>);

type Handler<Q, A> = Arc<dyn Fn(Q) -> Answering<A> + Send + Sync>;

/// A place where a process takes requests, while it lives.
pub struct Service<Q, A> {
    process: Process,
    /// What answers, and in which life of the process.
    handler: Arc<Mutex<Option<Serving<Q, A>>>>,
}

impl<Q, A> Clone for Service<Q, A> {
    fn clone(&self) -> Self {
        Self { process: self.process, handler: self.handler.clone() }
    }
}

impl<Q, A> Service<Q, A> {
    /// A place of a process at which nobody answers yet.
    pub fn new(process: Process) -> Self {
        Self { process, handler: Arc::default() }
    }

    /// Whose place it is.
    pub fn process(&self) -> Process {
        self.process
    }

    /// Answers requests from now on, until the process is killed.
    pub fn serve(&self, sim: &Sim, handler: impl Fn(Q) -> Answering<A> + Send + Sync + 'static) {
        if let Some(life) = sim.life(self.process) {
            *lock(&self.handler) = Some((life, Arc::new(handler)));
        }
    }

    fn handler(&self, sim: &Sim) -> Option<Handler<Q, A>> {
        let handler = lock(&self.handler);
        let (life, handler) = handler.as_ref()?;
        (sim.life(self.process) == Some(*life)).then(|| handler.clone())
    }
}

impl Network {
    /// A network in calm weather.
    pub fn new(sim: &Sim) -> Self {
        let wire = sim.process("network");
        Self { sim: sim.clone(), wire, weather: Arc::new(Mutex::new(Weather::calm())) }
    }

    /// Messages that are sent from now on travel in this weather.
    pub fn set_weather(&self, weather: Weather) {
        *lock(&self.weather) = weather;
    }

    /// Asks once, and waits for an answer for so long.
    pub async fn call<Q, A>(
        &self,
        service: &Service<Q, A>,
        request: Q,
        patience: Duration,
    ) -> Result<A, CallError>
    where
        Q: Clone + Send + 'static,
        A: Send + 'static,
    {
        let (sender, receiver) = oneshot::channel();
        let sender = Arc::new(Mutex::new(Some(sender)));
        let doubled = lock(&self.weather).doubled;
        let is_doubled = self.sim.random(|random| random.chance(doubled));
        if is_doubled {
            self.send(service.clone(), request.clone(), sender.clone(), false);
        }
        self.send(service.clone(), request, sender, !is_doubled);
        match self.sim.timeout(patience, receiver).await {
            Some(Ok(answer)) => answer,
            // Every copy of the answer's way is gone, or time is over.
            Some(Err(_)) | None => Err(CallError::NoAnswer),
        }
    }

    /// One message there, and its answer back. `is_only` says that no copy of it is under way.
    fn send<Q, A>(&self, service: Service<Q, A>, request: Q, sender: Answers<A>, is_only: bool)
    where
        Q: Send + 'static,
        A: Send + 'static,
    {
        let Some(there) = self.way() else {
            // A lost message is not noticed: the caller waits.
            return self.hold(sender);
        };
        let this = self.clone();
        self.sim.spawn(self.wire, async move {
            this.sim.sleep(there).await;
            let Some(handler) = service.handler(&this.sim) else {
                if is_only {
                    this.reply(sender, Err(CallError::Refused));
                } else {
                    this.hold(sender);
                }
                return;
            };
            let network = this.clone();
            this.sim.spawn(service.process, async move {
                let answer = handler(request).await;
                network.reply(sender, Ok(answer));
            });
        });
    }

    fn reply<A: Send + 'static>(&self, sender: Answers<A>, answer: Result<A, CallError>) {
        let Some(back) = self.way() else { return self.hold(sender) };
        let sim = self.sim.clone();
        self.sim.spawn(self.wire, async move {
            sim.sleep(back).await;
            if let Some(sender) = lock(&sender).take() {
                // A caller that has given up, or is dead, hears nothing.
                let _ = sender.send(answer);
            }
        });
    }

    /// Keeps the caller waiting, as somebody who hears nothing does.
    fn hold<A: Send + 'static>(&self, sender: Answers<A>) {
        let sim = self.sim.clone();
        self.sim.spawn(self.wire, async move {
            sim.sleep(SILENCE).await;
            drop(sender);
        });
    }

    /// How long a message is under way; `None` if it is lost.
    fn way(&self) -> Option<Duration> {
        let weather = lock(&self.weather).clone();
        self.sim.random(|random| {
            if random.chance(weather.lost) {
                return None;
            }
            let (least, most) = weather.delay;
            Some(match random.chance(weather.slow) {
                true => random.between(most, weather.slow_delay.max(most)),
                false => random.between(least, most),
            })
        })
    }
}

type Answers<A> = Arc<Mutex<Option<oneshot::Sender<Result<A, CallError>>>>>;

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Longer than anybody waits.
const SILENCE: Duration = Duration::from_secs(3_600);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::executor::{Executor, Step};

    /// Calls `calls` times in this weather. Answers what was heard at the service, and what the caller learned.
    fn talk(
        seed: u64,
        weather: Weather,
        calls: u64,
        is_there: bool,
    ) -> (Vec<u64>, Vec<Result<u64, CallError>>) {
        let mut executor = Executor::new(seed);
        let sim = executor.sim().clone();
        let network = Network::new(&sim);
        network.set_weather(weather);
        let service: Service<u64, u64> = Service::new(sim.process("server"));
        let (heard, learned) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(Vec::new())));
        if is_there {
            let heard = heard.clone();
            service.serve(&sim, move |number| {
                lock(&heard).push(number);
                Box::pin(async move { number })
            });
        }
        let client = sim.process("client");
        for number in 0..calls {
            let (network, service, learned) = (network.clone(), service.clone(), learned.clone());
            sim.spawn(client, async move {
                let answer = network.call(&service, number, Duration::from_secs(1)).await;
                lock(&learned).push(answer);
            });
        }
        while executor.step() != Step::Idle {}
        let (heard, learned) = (lock(&heard).clone(), lock(&learned).clone());
        (heard, learned)
    }

    #[test]
    fn calm_weather_brings_every_answer_once() {
        let (mut heard, learned) = talk(1, Weather::calm(), 100, true);
        assert_ne!(heard, (0..100).collect::<Vec<_>>(), "messages overtake each other");
        heard.sort();
        assert_eq!(heard, (0..100).collect::<Vec<_>>());
        assert!(learned.len() == 100 && learned.iter().all(Result::is_ok));
    }

    #[test]
    fn who_hears_nothing_knows_nothing() {
        let lossy = Weather { lost: 300, doubled: 300, ..Weather::calm() };
        let (heard, learned) = talk(2, lossy, 300, true);
        let answered = learned.iter().filter(|answer| answer.is_ok()).count();
        let silent = learned.iter().filter(|answer| **answer == Err(CallError::NoAnswer)).count();
        assert_eq!((learned.len(), answered + silent), (300, 300));
        let once: std::collections::BTreeSet<_> = heard.iter().collect();
        assert!(once.len() < heard.len(), "some were heard twice");
        assert!(once.len() > answered, "some were heard, and the caller does not know");
        assert!(once.len() < 300, "some were never heard");
    }

    #[test]
    fn a_place_where_nobody_is_refuses() {
        let (heard, learned) = talk(3, Weather::calm(), 9, false);
        assert!(heard.is_empty());
        assert_eq!(learned, [Err(CallError::Refused); 9]);
    }

    #[test]
    fn a_message_reaches_no_later_life() {
        let mut executor = Executor::new(4);
        let sim = executor.sim().clone();
        let service: Service<(), ()> = Service::new(sim.process("server"));
        service.serve(&sim, |()| Box::pin(async {}));
        assert!(service.handler(&sim).is_some());
        sim.kill(service.process());
        assert!(service.handler(&sim).is_none());
        sim.revive(service.process());
        assert!(service.handler(&sim).is_none(), "the new life serves when it is ready");
        service.serve(&sim, |()| Box::pin(async {}));
        assert!(service.handler(&sim).is_some());
        assert_eq!(executor.step(), Step::Idle);
    }
}
