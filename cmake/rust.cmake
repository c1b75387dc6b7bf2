# The Rust library of src/text/rust: tokenizers, templates, grammars behind a
# C ABI (src/text/rust/rapid_text.h). Built by cargo, locked.
add_library(rapid_text_rust INTERFACE)
