//! A script: what a client will ask, in order, and what each is answered with.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use super::{Answer, Handler, Request, lock};

/// Answers requests in the order of its steps. A request that does not contain the words of the next step is answered
/// with error 50000 and kept in [`Script::mistakes`].
#[derive(Clone, Default)]
pub struct Script {
    steps: Arc<Mutex<VecDeque<Step>>>,
    mistakes: Arc<Mutex<Vec<String>>>,
}

struct Step {
    words: String,
    answers: Vec<Answer>,
}

impl Script {
    /// A script without steps.
    pub fn new() -> Self {
        Self::default()
    }

    /// The next request contains these words, whatever their case, and is answered with this.
    #[must_use]
    pub fn then(self, words: &str, answers: impl Into<Vec<Answer>>) -> Self {
        lock(&self.steps).push_back(Step { words: words.into(), answers: answers.into() });
        self
    }

    /// What came that was not expected, and the steps that nobody asked for.
    pub fn mistakes(&self) -> Vec<String> {
        let left =
            lock(&self.steps).iter().map(|it| format!("nobody asked for `{}`", it.words)).collect::<Vec<_>>();
        [lock(&self.mistakes).clone(), left].concat()
    }
}

impl Handler for Script {
    fn answer(&self, request: &Request) -> Vec<Answer> {
        let mut steps = lock(&self.steps);
        let fits = |words: &str| request.sql.to_lowercase().contains(&words.to_lowercase());
        match steps.front() {
            Some(step) if fits(&step.words) => steps.pop_front().map(|it| it.answers).unwrap_or_default(),
            next => {
                let wanted = next.map_or("nothing more", |it| it.words.as_str());
                let mistake = format!("expected `{wanted}`, got `{}`", request.sql);
                lock(&self.mistakes).push(mistake.clone());
                vec![Answer::error(50_000, &mistake)]
            }
        }
    }
}
