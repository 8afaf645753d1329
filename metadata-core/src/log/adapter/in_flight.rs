//! Appends on their way: how many are unresolved, whoever holds their receipts, or nobody.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use crate::error::Result;
use crate::id::Position;
use crate::store::Receipt;

/// An append: under way, answered, or its answer was taken.
enum Append {
    UnderWay(Receipt),
    Answered(Option<Result<Position>>),
}

/// One append, for which both the caller's receipt and the writer may wait. Either of them drives it.
struct Shared {
    append: Mutex<Append>,
    waiting: Mutex<Vec<Waker>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Wake for Shared {
    fn wake(self: Arc<Self>) {
        let waiting = std::mem::take(&mut *lock(&self.waiting));
        waiting.into_iter().for_each(Waker::wake);
    }
}

impl Shared {
    /// Ready once the append is answered. The answer stays for [`Self::take`].
    fn poll(self: &Arc<Self>, cx: &mut Context<'_>) -> Poll<()> {
        {
            let mut waiting = lock(&self.waiting);
            if !waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
                waiting.push(cx.waker().clone());
            }
        }
        let mut append = lock(&self.append);
        if let Append::UnderWay(receipt) = &mut *append {
            let all = Waker::from(Arc::clone(self));
            let Poll::Ready(answer) = Pin::new(receipt).poll(&mut Context::from_waker(&all)) else {
                return Poll::Pending;
            };
            *append = Append::Answered(Some(answer));
            drop(append);
            Arc::clone(self).wake();
        }
        Poll::Ready(())
    }

    /// The answer, once.
    fn take(&self) -> Option<Result<Position>> {
        match &mut *lock(&self.append) {
            Append::UnderWay(_) => None,
            Append::Answered(answer) => answer.take(),
        }
    }
}

/// The appends of one writer that may still be unresolved.
#[derive(Default)]
pub(super) struct InFlight {
    appends: VecDeque<Arc<Shared>>,
}

impl InFlight {
    /// Counts an append until its answer is there, and gives the caller's receipt for it.
    pub(super) fn add(&mut self, receipt: Receipt) -> Receipt {
        let shared = Arc::new(Shared { append: Mutex::new(Append::UnderWay(receipt)), waiting: Mutex::default() });
        self.appends.push_back(Arc::clone(&shared));
        Receipt::new(poll_fn(move |cx| match shared.poll(cx) {
            // Whoever polls on after the answer waits for ever, as with any future.
            Poll::Ready(()) => shared.take().map_or(Poll::Pending, Poll::Ready),
            Poll::Pending => Poll::Pending,
        }))
    }

    /// Waits until fewer than `max` are unresolved.
    pub(super) async fn fewer_than(&mut self, max: usize) {
        poll_fn(|cx| {
            if self.appends.len() >= max {
                self.appends.retain(|append| append.poll(cx).is_pending());
            }
            if self.appends.len() < max { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}
