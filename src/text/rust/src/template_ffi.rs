//! The C ABI of the chat template.
use crate::ffi::{fail, guard, Bytes, CError, Failure, Owned, INVALID};
use crate::owners;
use crate::template::{clock_from, Template};
use crate::tokenizer::Span;

type CClock = extern "C" fn(Bytes, *mut u8, usize) -> usize;

#[repr(C)]
pub struct OwnedSpan {
    begin: usize,
    end: usize,
    message: usize,
    by_name: bool,
}

unsafe fn text<'a>(bytes: Bytes, what: &str) -> Result<&'a str, Failure> {
    match std::str::from_utf8(bytes.get()) {
        Ok(text) => Ok(text),
        Err(_) => fail(INVALID, format!("{what} is not UTF-8")),
    }
}

#[no_mangle]
pub unsafe extern "C" fn rapid_template_compile(
    source: Bytes,
    clock: CClock,
    error: *mut CError,
) -> *mut Template {
    guard(error, std::ptr::null_mut(), || {
        let source = text(source, "the template")?;
        let clock = clock_from(move |format| {
            let mut out = vec![0u8; 256];
            let format = Bytes::of(format.as_bytes());
            let size = clock(format, out.as_mut_ptr(), out.len());
            out.truncate(size);
            String::from_utf8_lossy(&out).into_owned()
        });
        match Template::compile(source, clock) {
            Ok(template) => Ok(Box::into_raw(Box::new(template))),
            Err(message) => fail(INVALID, message),
        }
    })
}

#[no_mangle]
pub unsafe extern "C" fn rapid_template_free(template: *mut Template) {
    if !template.is_null() {
        drop(Box::from_raw(template));
    }
}

#[no_mangle]
pub unsafe extern "C" fn rapid_template_render(
    template: *const Template,
    context: Bytes,
    user_spans: *mut Owned<Span>,
    owners: *mut Owned<OwnedSpan>,
    error: *mut CError,
) -> Owned<u8> {
    guard(error, Owned::empty(), || {
        let context: serde_json::Value = match serde_json::from_slice(context.get()) {
            Ok(context) => context,
            Err(failed) => return fail(INVALID, failed.to_string()),
        };
        let (text, spans) = match (*template).render(&context) {
            Ok(rendered) => rendered,
            Err(message) => return fail(INVALID, message),
        };
        let spans = spans.into_iter();
        let spans = spans.map(|(begin, end)| Span { begin, end }).collect();
        user_spans.write(Owned::new(spans));
        if !owners.is_null() {
            let found = owners::find(&*template, &context, &text).into_iter();
            let found = found.map(|one| OwnedSpan {
                begin: one.begin,
                end: one.end,
                message: one.message,
                by_name: one.by_name,
            });
            owners.write(Owned::new(found.collect()));
        }
        Ok(Owned::new(text.into_bytes()))
    })
}

#[no_mangle]
pub unsafe extern "C" fn rapid_spans_free(spans: Owned<Span>) {
    spans.free();
}

#[no_mangle]
pub unsafe extern "C" fn rapid_owned_spans_free(spans: Owned<OwnedSpan>) {
    spans.free();
}
