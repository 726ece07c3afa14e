//! The same work for many things on all processors.

use std::num::NonZero;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// Items that are worked off at once: many enough to be worth handing over, few enough that the
/// processors finish together.
const CHUNK: usize = 16;

/// Works off the items in chunks; the results are in the items' order, whichever was done first.
pub(crate) fn in_chunks<T: Sync, R: Send>(items: &[T], work: impl Fn(&[T]) -> R + Sync) -> Vec<R> {
    let chunks: Vec<&[T]> = items.chunks(CHUNK).collect();
    let threads = thread::available_parallelism().map_or(1, NonZero::get).min(chunks.len());
    if threads < 2 {
        return chunks.into_iter().map(work).collect();
    }
    let next = AtomicUsize::new(0);
    let worker = || {
        let mut done = Vec::new();
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(chunk) = chunks.get(at) else { return done };
            done.push((at, work(chunk)));
        }
    };
    let mut results = thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(worker)).collect();
        let joined = workers
            .into_iter()
            .map(|worker| worker.join().unwrap_or_else(|panic| resume_unwind(panic)));
        joined.flatten().collect::<Vec<_>>()
    });
    results.sort_unstable_by_key(|(at, _)| *at);
    results.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn results_keep_the_order_of_the_items() {
        let items: Vec<usize> = (0..1000).collect();
        let sums = super::in_chunks(&items, |chunk| chunk.iter().sum::<usize>());
        let expected: Vec<usize> = items.chunks(super::CHUNK).map(|one| one.iter().sum()).collect();
        assert_eq!(sums, expected);
        assert!(super::in_chunks(&[0; 0], <[u8]>::len).is_empty());
    }
}
