//! What must be true in the end.

use std::{
    collections::{HashMap, HashSet},
    time::{Duration, Instant},
};

use serde_json::Value;

use super::{
    broker::{Client, Taken},
    chaos::Troubled,
    world::{AT_ONCE, DEAD, Message, OUT, World},
};

/// How long before a kill an answer may have come from the model without being stored.
const UNSTORED: Duration = Duration::from_secs(3);

/// What came out so far.
#[derive(Default)]
pub struct Seen {
    results: HashMap<String, Vec<Taken>>,
    dead: HashMap<String, Vec<Taken>>,
}

/// What the programme found.
#[derive(Debug, Clone, Copy)]
pub struct Summary {
    pub sent: usize,
    pub good: usize,
    pub poison: usize,
    /// Results published, repetitions among them.
    pub results: usize,
    /// Dead letters, repetitions among them.
    pub dead_letters: usize,
    /// Questions to the model.
    pub asked: usize,
    /// Of these, about a record that was asked about before.
    pub asked_again: usize,
}

struct StoredJob {
    ticket: String,
    state: String,
}

impl Seen {
    /// Looks until everything is true, or says what is not.
    pub fn settle(
        &mut self,
        world: &World,
        sent: &[Message],
        troubled: &Troubled,
        patience: Duration,
    ) -> Result<Summary, String> {
        let client = Client::of(&world.broker);
        let began = Instant::now();
        loop {
            let verdict = self.look(world, &client).and_then(|jobs| self.judge(world, sent, troubled, &jobs));
            match verdict {
                Err(_) if began.elapsed() < patience => std::thread::sleep(Duration::from_millis(500)),
                verdict => return verdict,
            }
        }
    }

    fn look(&mut self, world: &World, client: &Client) -> Result<HashMap<String, Vec<StoredJob>>, String> {
        for taken in client.take_all(OUT)? {
            self.results.entry(taken.id.clone()).or_default().push(taken);
        }
        for taken in client.take_all(DEAD)? {
            self.dead.entry(taken.id.clone()).or_default().push(taken);
        }
        let listed = world.desk.run(&["jobs", "list", ".", "--limit", "10000", "--json"]);
        let mut jobs: HashMap<String, Vec<StoredJob>> = HashMap::new();
        for line in String::from_utf8_lossy(&listed.stdout).lines() {
            let job: Value = serde_json::from_str(line).map_err(|error| error.to_string())?;
            let text = |name: &str| job[name].as_str().unwrap_or_default().to_owned();
            let stored = StoredJob { ticket: text("ticket"), state: text("state") };
            jobs.entry(text("key")).or_default().push(stored);
        }
        Ok(jobs)
    }

    fn judge(
        &self,
        world: &World,
        sent: &[Message],
        troubled: &Troubled,
        jobs: &HashMap<String, Vec<StoredJob>>,
    ) -> Result<Summary, String> {
        let (mut good, mut poison) = (HashSet::new(), HashSet::new());
        let mut tickets = HashMap::new();
        for message in sent {
            let stored = jobs.get(&message.id).map(Vec::as_slice).unwrap_or_default();
            let [job] = stored else {
                return Err(match stored.len() {
                    0 => format!("{} has no stored result", message.id),
                    many => format!("{} has {many} jobs", message.id),
                });
            };
            if message.is_poison {
                self.judge_poison(message)?;
                poison.insert(&message.id);
            } else {
                self.judge_good(message, job)?;
                good.insert(&message.id);
                tickets.insert(format!("{}-0", job.ticket), &message.id);
            }
        }
        let (asked, asked_again) = judge_model(world, troubled, &tickets)?;
        Ok(Summary {
            sent: sent.len(),
            good: good.len(),
            poison: poison.len(),
            results: self.results.values().map(Vec::len).sum(),
            dead_letters: self.dead.values().map(Vec::len).sum(),
            asked,
            asked_again,
        })
    }

    fn judge_good(&self, message: &Message, job: &StoredJob) -> Result<(), String> {
        let id = &message.id;
        if job.state != "returned" {
            return Err(format!("the job of {id} is {}", job.state));
        }
        let results = self.results.get(id).ok_or_else(|| format!("{id} has no published result"))?;
        let own =
            |it: &&Taken| it.body.contains(&job.ticket) && it.body.contains("<Priority>high</Priority>");
        match results.iter().find(|it| !own(it)) {
            Some(other) => Err(format!("{id} has another result: {}", other.body)),
            None if self.dead.contains_key(id) => Err(format!("{id} is good, and in the dead letters")),
            None => Ok(()),
        }
    }

    fn judge_poison(&self, message: &Message) -> Result<(), String> {
        let id = &message.id;
        let dead = self.dead.get(id).ok_or_else(|| format!("{id} is poison, and not in the dead letters"))?;
        for letter in dead {
            if letter.body != message.body {
                return Err(format!("the dead letter of {id} is not what was sent: {}", letter.body));
            }
            let says = |name: &str| letter.headers.get(name).is_some_and(|it| !it.is_empty());
            let is_told = if message.body.ends_with("</Claim>") {
                // It can be read: the gate says what is missing.
                letter.headers.get("x-vestibule-findings").is_some_and(|it| it.contains("G101"))
            } else {
                says("x-vestibule-fault")
            };
            if !is_told {
                return Err(format!("the dead letter of {id} does not say why: {:?}", letter.headers));
            }
        }
        Ok(())
    }
}

/// The model was asked about good messages alone, and about one again only where a kill came between its answer and the
/// store.
fn judge_model(
    world: &World,
    troubled: &Troubled,
    tickets: &HashMap<String, &String>,
) -> Result<(usize, usize), String> {
    let asked = world.model.asked();
    if let Some(id) = tickets.iter().find(|(ticket, _)| !asked.contains_key(*ticket)).map(|(_, id)| id) {
        return Err(format!("the model was never asked about {id}"));
    }
    let (mut all, mut again) = (0, 0);
    for (question, times) in &asked {
        if !tickets.contains_key(question) {
            return Err(format!("the model was asked about {question}, which has no good message"));
        }
        all += times.len();
        for pair in times.windows(2) {
            again += 1;
            let between = |kill: &&std::time::Instant| pair[0] <= **kill + UNSTORED && **kill <= pair[1];
            if !troubled.kills.iter().any(|kill| between(&kill) && kill.duration_since(pair[0]) < UNSTORED) {
                return Err(format!("{question} was asked about again, and no kill explains it"));
            }
        }
    }
    let most = troubled.kills.len() * AT_ONCE;
    if again > most {
        return Err(format!("{again} questions were asked again; {most} can have been under way"));
    }
    Ok((all, again))
}
