//! Answers to many questions that are asked in groups: one session per server or database.

use super::Unreachable;
use crate::HostError;
use keddah_resource::Observation;

/// Collects answers in the order of the questions.
#[derive(Debug)]
pub(crate) struct Answers(Vec<Option<Result<Observation, HostError>>>);

impl Answers {
    /// Room for so many answers.
    pub(crate) fn new(count: usize) -> Self {
        Self((0..count).map(|_| None).collect())
    }

    /// The answers of one group, or why there is none for all of its members.
    pub(crate) fn fill(
        &mut self,
        members: &[usize],
        answers: Result<Vec<Result<Observation, HostError>>, Unreachable>,
    ) {
        match answers {
            Ok(answers) => {
                for (member, answer) in members.iter().zip(answers) {
                    self.0[*member] = Some(answer);
                }
            }
            Err(why) => {
                for member in members {
                    self.0[*member] = Some(match why.clone() {
                        Unreachable::NotYet { because } => Ok(Observation::NotYet { because }),
                        Unreachable::KeptOut(error) | Unreachable::Failed(error) => Err(error),
                    });
                }
            }
        }
    }

    /// All answers.
    pub(crate) fn finish(self) -> Vec<Result<Observation, HostError>> {
        self.0
            .into_iter()
            .map(|answer| {
                answer.unwrap_or_else(|| Err(HostError::new("nobody looked at it".to_owned())))
            })
            .collect()
    }
}

/// Which items have the same key, in the order of first appearance.
pub(crate) fn groups<K: PartialEq>(keys: impl Iterator<Item = K>) -> Vec<(K, Vec<usize>)> {
    let mut groups: Vec<(K, Vec<usize>)> = Vec::new();
    for (position, key) in keys.enumerate() {
        match groups.iter_mut().find(|(present, _)| *present == key) {
            Some((_, members)) => members.push(position),
            None => groups.push((key, vec![position])),
        }
    }
    groups
}
