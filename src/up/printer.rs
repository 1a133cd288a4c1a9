//! What `up` says, printed by a thread of its own: whoever should read it may not, and the house
//! goes on all the same.

use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use tokio::sync::oneshot;

use super::progress::Canvas;
use crate::screen::flow::Flow;
use crate::screen::{columns_of_errors, many};

/// How many texts may wait to be printed. Beyond that they are left out, and counted.
const TEXTS_MAX: usize = 4_096;

/// How long the last words may take.
pub const LAST_WORDS: Duration = Duration::from_secs(1);

/// Prints.
pub struct Printer {
    texts: SyncSender<Text>,
    left_out: AtomicU64,
}

enum Text {
    /// For standard output.
    Said(String),
    /// For standard error.
    Complained(String),
    /// Nothing more is to be printed by who sent this.
    Done(oneshot::Sender<()>),
}

impl Printer {
    /// Prints above what is drawn on a canvas.
    pub fn begin(canvas: Canvas) -> Self {
        let (texts, to_print) = sync_channel(TEXTS_MAX);
        std::thread::spawn(move || print(&to_print, &canvas));
        Self { texts, left_out: AtomicU64::new(0) }
    }

    /// Prints lines to standard output.
    pub fn say(&self, text: impl Into<String>) {
        self.put(Text::Said(text.into()));
    }

    /// Prints lines to standard error.
    pub fn complain(&self, text: impl Into<String>) {
        self.put(Text::Complained(text.into()));
    }

    fn put(&self, text: Text) {
        let left_out = self.left_out.swap(0, Ordering::Relaxed);
        let told = match left_out {
            0 => Ok(()),
            left_out => {
                let lines = many(left_out, "line was", "lines were");
                let text = format!("({lines} left out, since nobody read on)\n");
                self.texts.try_send(Text::Complained(text))
            }
        };
        let lost = match told {
            Err(_) => left_out + 1,
            Ok(()) => u64::from(self.texts.try_send(text).is_err()),
        };
        self.left_out.fetch_add(lost, Ordering::Relaxed);
    }

    /// Waits until all is printed, but not long: nobody may read it.
    pub async fn finish(&self) {
        let (done, printed) = oneshot::channel();
        if self.texts.try_send(Text::Done(done)).is_ok() {
            let _nobody_may_read = tokio::time::timeout(LAST_WORDS, printed).await;
        }
    }
}

fn print(texts: &Receiver<Text>, canvas: &Canvas) {
    for text in texts {
        match text {
            Text::Said(text) => canvas.print(|| {
                let mut out = std::io::stdout().lock();
                let _nobody_reads = out.write_all(text.as_bytes()).and_then(|()| out.flush());
            }),
            Text::Complained(text) => canvas.print(|| {
                let flow = Flow::new(columns_of_errors(), "", "").keeping_commands();
                let text = flow.whole(&text);
                let _nobody_reads = std::io::stderr().lock().write_all(text.as_bytes());
            }),
            Text::Done(done) => {
                let _nobody_waits = done.send(());
            }
        }
    }
}
