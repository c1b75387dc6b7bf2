//! What a grammar may cost before the compiler has a word in it: its size, its
//! nesting, the time and the stack to compile it.
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{mpsc, Arc, Mutex};
use std::time::Duration;

use crate::ffi::{fail, Failure, INTERNAL, INVALID};

const SOURCE_BYTES: usize = 256 << 10;
const DEPTH: usize = 64;
/// A chain of rules recurses once a rule: 256 KiB hold some 25,000 of them.
const STACK: usize = 512 << 20;
const COMPILE_TIME: Duration = Duration::from_secs(10);
/// Compilations that overran their time and may still be at it.
const STRAYS: usize = 2;
static STRAYING: AtomicUsize = AtomicUsize::new(0);

#[derive(Clone, Copy, PartialEq)]
pub enum Kind {
    JsonSchema,
    JsonObject,
    Regex,
    Lark,
}

/// Deepest nesting of brackets outside of strings, regexes and comments.
fn nesting(text: &str, lark: bool) -> usize {
    let bytes = text.as_bytes();
    let (mut depth, mut deepest) = (0usize, 0);
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'/' if lark && bytes.get(at + 1) == Some(&b'/') => {
                while at < bytes.len() && bytes[at] != b'\n' {
                    at += 1;
                }
            }
            quote @ (b'"' | b'/') if lark || quote == b'"' => {
                at += 1;
                while at < bytes.len() && bytes[at] != quote {
                    at += 1 + usize::from(bytes[at] == b'\\');
                }
            }
            b'(' | b'[' | b'{' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        at += 1;
    }
    deepest
}

pub fn check_source(kind: Kind, text: &str) -> Result<(), Failure> {
    if text.len() > SOURCE_BYTES {
        return fail(
            INVALID,
            format!(
                "a grammar of {} bytes; the limit is {SOURCE_BYTES}",
                text.len()
            ),
        );
    }
    // A schema's level is two of JSON: "properties" and the property.
    let (depth, most) = match kind {
        Kind::JsonSchema => (nesting(text, false), 2 * DEPTH),
        Kind::Lark => (nesting(text, true), 2 * DEPTH),
        Kind::JsonObject | Kind::Regex => (0, 0),
    };
    if depth > most {
        return fail(
            INVALID,
            format!("a grammar nested {depth} deep; the limit is {most}"),
        );
    }
    Ok(())
}

/// Tells the thread that compiles from the one that waits for it.
#[derive(Default)]
struct Race {
    done: bool,
    stray: bool,
}

/// Ends with the thread, by a panic too.
struct Finish(Arc<Mutex<Race>>);

impl Drop for Finish {
    fn drop(&mut self) {
        let mut race = self.0.lock().unwrap_or_else(|lock| lock.into_inner());
        race.done = true;
        if race.stray {
            STRAYING.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// `body` on a stack of its own, given up after COMPILE_TIME.
pub fn boxed_in_time<T: Send + 'static>(
    body: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    if STRAYING.load(Ordering::Relaxed) >= STRAYS {
        return fail(INVALID, "grammars that take too long are being compiled");
    }
    let race = Arc::new(Mutex::new(Race::default()));
    let finish = Finish(race.clone());
    let (send, receive) = mpsc::channel();
    let work = move || {
        let _finish = finish;
        // Nobody to send to: the time was up. A panic drops `send`.
        let _ = send.send(body());
    };
    let thread = std::thread::Builder::new().stack_size(STACK).spawn(work);
    if let Err(error) = thread {
        return fail(INTERNAL, format!("no thread for a grammar: {error}"));
    }
    match receive.recv_timeout(COMPILE_TIME) {
        Ok(result) => result,
        Err(mpsc::RecvTimeoutError::Timeout) => {
            let mut race = race.lock().unwrap_or_else(|lock| lock.into_inner());
            if !race.done {
                race.stray = true;
                STRAYING.fetch_add(1, Ordering::Relaxed);
            }
            fail(
                INVALID,
                format!("compiling took more than {} s", COMPILE_TIME.as_secs()),
            )
        }
        Err(mpsc::RecvTimeoutError::Disconnected) => {
            fail(INVALID, "the grammar broke its compiler")
        }
    }
}
