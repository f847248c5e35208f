//! One round of questions: every admitted record of a document is asked about, but those whose answer was saved.

use std::{
    collections::HashMap,
    sync::atomic::{AtomicBool, Ordering},
};

use futures_util::{StreamExt, stream};
use tokio::time::Instant;

use super::Save;
use crate::{
    ask::{Asked, Asker},
    document::Document,
    fault::Fault,
    gate::{Admitted, End, Ruled, Verdict},
    job::{Checkpoint, JobId},
    mapping::plan::{Lapse, Mapping},
};

/// How many records of a document are asked about at once.
const SIDE_BY_SIDE: usize = 8;
/// How many answers of a document are on their way to the store at once. The next records are asked about in the meantime.
const BEING_SAVED: usize = 64;
/// After so many records others have their turn.
const BREATH: usize = 64;

/// A verdict, and what was answered where it let the record pass to a model.
pub(super) struct Decided {
    pub verdict: Verdict,
    /// What people decided about it.
    pub ruled: Ruled,
    /// After how many of these decisions the answer came.
    pub after: usize,
    pub reply: Answering,
    /// For the fallback list, where nobody decided in time.
    pub proof: Option<Admitted>,
    /// The question's name among checkpoints; `None` where nothing was asked.
    pub question: Option<u32>,
}

/// How a record came to its answer.
pub(super) enum Answering {
    /// It was not asked about, and need not be.
    Unasked,
    /// An earlier attempt saved it.
    Restored(Asked),
    /// A model or fallback gave it in this round.
    Fresh { answer: Asked, is_saved: bool },
    /// Nothing and nobody gave one.
    Failed(Fault),
    /// There was none before a person, or the time, ended the record: it is not asked about any more.
    Missing,
}

/// Answers of earlier attempts: by record, each with the number of decisions that it came after.
pub(super) struct Saved(HashMap<usize, Vec<(usize, Checkpoint)>>);

impl Saved {
    pub(super) fn of(saved: Vec<Checkpoint>) -> Self {
        let mut all = HashMap::<_, Vec<_>>::new();
        for one in saved {
            let (record, decisions) = one.asked_about();
            if let (Ok(record), Ok(decisions)) = (usize::try_from(record), usize::try_from(decisions)) {
                all.entry(record).or_default().push((decisions, one));
            }
        }
        Self(all)
    }

    /// The newest answer about a record that came after so many decisions or more.
    fn since(&self, record: usize, decisions: usize) -> Option<(usize, &Checkpoint)> {
        let all = self.0.get(&record)?.iter().filter(|(after, _)| *after >= decisions);
        all.max_by_key(|(after, _)| *after).map(|(after, one)| (*after, one))
    }
}

/// What all questions of a round share.
pub(super) struct Round<'a> {
    pub mapping: &'a Mapping,
    pub asker: Option<&'a Asker>,
    pub document: &'a Document,
    pub ticket: JobId,
    pub deadline: Instant,
    /// Where answers are saved before all of them are there.
    pub save: Option<&'a dyn Save>,
    /// Answers of earlier attempts.
    pub saved: Saved,
    /// A record without an answer ends the work: the form can not say that a person decides.
    pub is_mute: bool,
    /// It did.
    pub is_over: AtomicBool,
}

impl Round<'_> {
    /// Asks side by side and saves each answer as it comes; what comes back stands in the order of the records. Where the
    /// work is over before its end, answers under way are waited for and saved: they are paid for.
    pub(super) async fn ask_all(
        &self,
        verdicts: Vec<Verdict>,
        ruled: Vec<Ruled>,
    ) -> Result<Vec<Decided>, Fault> {
        let count = verdicts.len();
        let ruled = ruled.into_iter().chain(std::iter::repeat_with(Ruled::default));
        let asking = verdicts.into_iter().zip(ruled).enumerate();
        let asking = asking.map(|(at, (verdict, ruled))| self.ask(at, verdict, ruled));
        let asked = stream::iter(asking).buffer_unordered(SIDE_BY_SIDE);
        let mut kept = asked.map(|(at, decided)| self.keep(at, decided)).buffer_unordered(BEING_SAVED);
        let mut all: Vec<Option<Decided>> = std::iter::repeat_with(|| None).take(count).collect();
        let (mut done, mut over) = (0_usize, None);
        while let Some(one) = kept.next().await {
            let (at, decided) = one?;
            match decided {
                Decided { reply: Answering::Failed(fault), .. } if self.is_mute => {
                    if self.save.is_none() {
                        return Err(fault);
                    }
                    over.get_or_insert(fault);
                }
                decided => {
                    if let Some(place) = all.get_mut(at) {
                        *place = Some(decided);
                    }
                }
            }
            done = done.saturating_add(1);
            if done.is_multiple_of(BREATH) {
                // A long document whose model is inside the process never waits by itself.
                tokio::task::yield_now().await;
            }
        }
        over.map_or_else(|| Ok(all.into_iter().flatten().collect()), Err)
    }

    /// Asks about a record that was admitted, once.
    async fn ask(&self, at: usize, verdict: Verdict, ruled: Ruled) -> (usize, Decided) {
        let mut decided = Decided::unasked(verdict, ruled);
        let (Verdict::Admit(admitted, _), Some(asker)) = (&decided.verdict, self.asker) else {
            return (at, decided);
        };
        let falls_back = self.mapping.handling.review.as_ref().is_some_and(|it| it.lapse == Lapse::Fallback);
        if falls_back && matches!(decided.ruled.end, Some(End::Lapsed(_))) {
            decided.proof = Some(admitted.clone());
        }
        decided.question = Checkpoint::question(at, decided.ruled.decisions);
        let saved = self.saved.since(at, decided.ruled.corrected_at);
        decided.reply = match (saved.map(|(after, it)| (after, asker.restore(it))), &decided.ruled.end) {
            (Some((after, Some(answer))), _) => {
                decided.after = after;
                Answering::Restored(answer)
            }
            // It waited for a person because there was no answer: otherwise there would be one saved.
            (None, Some(_)) => Answering::Missing,
            // The work is over: no more questions.
            _ if self.is_over.load(Ordering::Acquire) => Answering::Missing,
            _ => {
                let id = self.request_id(at, decided.ruled.corrections);
                let received = self.document.received;
                match asker.ask(self.mapping, admitted, received, &id, self.deadline).await {
                    Ok(answer) => Answering::Fresh { answer, is_saved: false },
                    Err(fault) => {
                        self.is_over.fetch_or(self.is_mute, Ordering::AcqRel);
                        Answering::Failed(fault)
                    }
                }
            }
        };
        (at, decided)
    }

    fn request_id(&self, at: usize, corrections: usize) -> String {
        match corrections {
            0 => format!("{}-{at}", self.ticket),
            often => format!("{}-{at}-c{often}", self.ticket),
        }
    }

    async fn keep(&self, at: usize, mut decided: Decided) -> Result<(usize, Decided), Fault> {
        if let (Some(save), Some(checkpoint)) = (self.save, decided.unsaved()) {
            save.save(checkpoint).await?;
            if let Answering::Fresh { is_saved, .. } = &mut decided.reply {
                *is_saved = true;
            }
        }
        Ok((at, decided))
    }
}

impl Decided {
    fn unasked(verdict: Verdict, ruled: Ruled) -> Self {
        let after = ruled.decisions;
        Self { verdict, ruled, after, reply: Answering::Unasked, proof: None, question: None }
    }

    /// An answer that is in no checkpoint.
    pub(super) fn unsaved(&self) -> Option<Checkpoint> {
        match &self.reply {
            Answering::Fresh { answer, is_saved: false } => Some(checkpoint(self.question?, answer)),
            _ => None,
        }
    }
}

fn checkpoint(question: u32, asked: &Asked) -> Checkpoint {
    Checkpoint {
        record: question,
        answer: asked.raw.clone(),
        answered_by: asked.answered_by.clone(),
        usage: asked.usage,
    }
}
