//! What both halves of the C ABI share: borrowed bytes in, owned buffers and
//! errors out.
use std::panic::{catch_unwind, AssertUnwindSafe};

/// Borrowed bytes of the other side; `data` may be null when `size` is 0.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Bytes {
    pub data: *const u8,
    pub size: usize,
}

impl Bytes {
    pub fn of(data: &[u8]) -> Bytes {
        Bytes { data: data.as_ptr(), size: data.len() }
    }

    /// # Safety
    /// `data` points to `size` bytes that outlive `'a`.
    pub unsafe fn get<'a>(self) -> &'a [u8] {
        slice(self.data, self.size)
    }
}

/// # Safety
/// `data` points to `size` values that outlive `'a`, or `size` is 0.
pub unsafe fn slice<'a, T>(data: *const T, size: usize) -> &'a [T] {
    if size == 0 {
        &[]
    } else {
        std::slice::from_raw_parts(data, size)
    }
}

/// Owned array handed to C; goes back through rapid_*_free.
#[repr(C)]
pub struct Owned<T> {
    pub data: *mut T,
    pub size: usize,
}

impl<T> Owned<T> {
    pub fn new(values: Vec<T>) -> Owned<T> {
        let values = values.into_boxed_slice();
        let size = values.len();
        Owned { data: Box::into_raw(values) as *mut T, size }
    }

    pub fn empty() -> Owned<T> {
        Owned { data: std::ptr::null_mut(), size: 0 }
    }

    /// # Safety
    /// `self` came from `new` and was not freed before.
    pub unsafe fn free(self) {
        if !self.data.is_null() {
            drop(Box::from_raw(std::ptr::slice_from_raw_parts_mut(
                self.data, self.size,
            )));
        }
    }
}

pub const CORRUPT: i32 = 1;
pub const UNSUPPORTED: i32 = 2;
pub const INVALID: i32 = 3;
pub const INTERNAL: i32 = 4;

#[repr(C)]
pub struct CError {
    kind: i32,
    message: Owned<u8>,
}

pub struct Failure {
    pub kind: i32,
    pub message: String,
}

pub fn fail<T>(kind: i32, message: impl Into<String>) -> Result<T, Failure> {
    Err(Failure { kind, message: message.into() })
}

/// Runs `body`; a failure or a panic fills `error` and gives `otherwise`.
pub fn guard<T>(
    error: *mut CError,
    otherwise: T,
    body: impl FnOnce() -> Result<T, Failure>,
) -> T {
    guard_as(INTERNAL, error, otherwise, body)
}

/// The same; a panic counts as `panicked`. Libraries panic on some broken
/// files, which is the file's fault.
pub fn guard_as<T>(
    panicked: i32,
    error: *mut CError,
    otherwise: T,
    body: impl FnOnce() -> Result<T, Failure>,
) -> T {
    // A panic is reported by its error, not on stderr as well.
    static QUIET: std::sync::Once = std::sync::Once::new();
    QUIET.call_once(|| std::panic::set_hook(Box::new(|_| {})));
    let failure = match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(value)) => return value,
        Ok(Err(failure)) => failure,
        Err(panic) => Failure { kind: panicked, message: panic_text(&*panic) },
    };
    if !error.is_null() {
        let message = Owned::new(failure.message.into_bytes());
        unsafe { error.write(CError { kind: failure.kind, message }) };
    }
    otherwise
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    if let Some(text) = panic.downcast_ref::<String>() {
        text.clone()
    } else if let Some(text) = panic.downcast_ref::<&str>() {
        text.to_string()
    } else {
        "panic".to_string()
    }
}

#[no_mangle]
pub unsafe extern "C" fn rapid_bytes_free(bytes: Owned<u8>) {
    bytes.free();
}
