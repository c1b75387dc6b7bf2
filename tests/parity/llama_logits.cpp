// llama_logits MODEL IDS OUT [--flash auto|on|off] [--chunk N] [--threads N]:
// what parity_logits --shape does, by llama.cpp. Built by tools/exactness
// against a built llama.cpp, no part of our build.
//
// IDS as token_windows.h says. OUT: int32 [rows, vocabulary], then float32
// [rows, vocabulary]; "-" writes to stdout. Chunks of N tokens (default 64) are
// one batch; 1 is decoding. KV in float16, on the CPU.
#include <llama.h>

#include <algorithm>
#include <cstdlib>
#include <string>

#include "token_windows.h"

namespace {

struct Options {
  llama_flash_attn_type flash = LLAMA_FLASH_ATTN_TYPE_AUTO;
  uint32_t chunk = 64;
  int32_t threads = 2;
};

int fail(const std::string& what) {
  std::fprintf(stderr, "error: llama_logits: %s\n", what.c_str());
  return 1;
}

bool parse(int argc, char** argv, Options& out) {
  for (int i = 4; i < argc; i += 2) {
    const std::string name = argv[i];
    const std::string value = i + 1 < argc ? argv[i + 1] : "";
    const int number = std::atoi(value.c_str());
    if (name == "--flash" && value == "on") {
      out.flash = LLAMA_FLASH_ATTN_TYPE_ENABLED;
    } else if (name == "--flash" && value == "off") {
      out.flash = LLAMA_FLASH_ATTN_TYPE_DISABLED;
    } else if (name == "--chunk" && number > 0) {
      out.chunk = static_cast<uint32_t>(number);
    } else if (name == "--threads" && number > 0) {
      out.threads = number;
    } else if (name != "--flash" || value != "auto") {
      return false;
    }
  }
  return argc >= 4;
}

// One window; the caller has cleared the memory.
bool write_window(
    llama_context* context,
    const int32_t* ids,
    size_t width,
    size_t columns,
    size_t chunk,
    std::FILE* out) {
  llama_batch batch = llama_batch_init(static_cast<int32_t>(chunk), 0, 1);
  bool good = true;
  for (size_t at = 0; at < width && good; at += chunk) {
    batch.n_tokens = static_cast<int32_t>(std::min(chunk, width - at));
    for (int32_t i = 0; i < batch.n_tokens; ++i) {
      batch.token[i] = ids[at + i];
      batch.pos[i] = static_cast<llama_pos>(at + i);
      batch.n_seq_id[i] = 1;
      batch.seq_id[i][0] = 0;
      batch.logits[i] = 1;
    }
    good = llama_decode(context, batch) == 0;
    for (int32_t i = 0; i < batch.n_tokens && good; ++i) {
      good =
          std::fwrite(
              llama_get_logits_ith(context, i), sizeof(float), columns, out) ==
          columns;
    }
  }
  llama_batch_free(batch);
  return good;
}

void log_errors(ggml_log_level level, const char* text, void*) {
  if (level == GGML_LOG_LEVEL_ERROR) {
    std::fputs(text, stderr);
  }
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  if (!parse(argc, argv, options)) {
    std::fprintf(
        stderr,
        "usage: llama_logits MODEL IDS OUT [--flash auto|on|off] [--chunk N] "
        "[--threads N]\n");
    return 2;
  }
  rapid::TokenWindows windows;
  if (!rapid::read_windows(argv[2], windows)) {
    return fail(std::string("cannot read token windows from ") + argv[2]);
  }
  llama_log_set(log_errors, nullptr);
  ggml_backend_load_all();
  llama_backend_init();
  llama_model_params model_params = llama_model_default_params();
  model_params.n_gpu_layers = 0;
  llama_model* model = llama_model_load_from_file(argv[1], model_params);
  if (!model) {
    return fail(std::string("cannot load ") + argv[1]);
  }
  llama_context_params params = llama_context_default_params();
  params.n_ctx = static_cast<uint32_t>(windows.width);
  params.n_batch = params.n_ubatch = options.chunk;
  params.n_threads = params.n_threads_batch = options.threads;
  params.flash_attn_type = options.flash;
  params.type_k = params.type_v = GGML_TYPE_F16;
  llama_context* context = llama_init_from_model(model, params);
  if (!context) {
    return fail("cannot make a context");
  }
  const auto columns =
      static_cast<size_t>(llama_vocab_n_tokens(llama_model_get_vocab(model)));
  const bool to_stdout = std::string(argv[3]) == "-";
  const rapid::File out(
      to_stdout ? stdout : std::fopen(argv[3], "wb"), std::fclose);
  if (!out || !rapid::write_shape(out.get(), windows.ids.size(), columns)) {
    return fail(std::string("cannot write ") + argv[3]);
  }
  for (size_t i = 0; i < windows.count; ++i) {
    llama_memory_clear(llama_get_memory(context), true);
    if (!write_window(
            context,
            windows.ids.data() + i * windows.width,
            windows.width,
            columns,
            options.chunk,
            out.get())) {
      return fail("evaluating or writing a window failed");
    }
  }
  llama_free(context);
  llama_model_free(model);
  return 0;
}
