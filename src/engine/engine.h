// Engine: token ids in, token ids out. The line between the front side
// (tokenizer, templates, formats, HTTP) and the side that owns weights, state
// and sampling. Only plain serialisable values cross it, so that a worker
// process can stand behind it.
//
// Threads: every method may be called from any thread. A request's sink is
// called on the engine's own thread, in order, never twice at once; it must
// return fast and must not throw. After EngineDone or EngineFailed it is not
// called again. Destroying the engine fails all open requests (cancelled).
//
//   auto id = engine->submit({.prompt = ids, .max_tokens = 64}, sink);
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/result.h"
#include "engine/memory_plan.h"
#include "sampling/pooling.h"
#include "sampling/sampler.h"
#include "text/grammar.h"

namespace rapid {

// A choice that goes on: the end of the prompt is its answer so far. It was
// taken back (rewound) to there, or its worker died.
struct Resumption {
  int choice = 0;    // its number: the seed's draws go on as they were
  int answered = 0;  // tokens of the prompt that are its own
  // The last so many of those are the request's grammar's (or came before
  // it, see grammar_after): it goes on behind them.
  int grammar_replay = 0;
};

// Where later prompts may leave this one: tokens before it, 0 = not known.
// They cost nothing but where states are kept (snapshot_plan.h).
struct PromptBorders {
  int front = 0;              // behind the system prompt and the tools
  std::vector<int> messages;  // where messages begin, ascending
  int turn = 0;               // where the answer's text will begin
  bool operator==(const PromptBorders&) const = default;
};

struct GenerateRequest {
  std::vector<int32_t> prompt;  // at least one token
  SamplingOptions sampling;     // with the seed, chosen by the front
  int choices = 1;
  int max_tokens = 0;  // 0 = evaluate the prompt only
  // max_tokens is "the rest of the context": where memory ends sooner the
  // choices end there (length). False: such a request is refused.
  bool may_shorten = false;
  std::vector<int32_t> end_tokens;  // sampling one of these ends a choice
  // The output fits it; a choice ends where nothing more may follow. A
  // grammar that cannot be compiled fails the request before any token.
  std::optional<GrammarSource> grammar;
  // The grammar starts behind these sampled tokens (the close of reasoning):
  // until then all is free but an end. Empty = from the first token.
  std::vector<int32_t> grammar_after;
  // Where nothing more may follow in the grammar all is free again, instead
  // of the choice's end.
  bool grammar_then_free = false;
  // With this many alternatives (0..20); none = no logprobs.
  std::optional<int> logprobs;
  std::optional<int> prompt_logprobs;
  // The prompt's hidden rows behind the final norm become one vector; with
  // max_tokens 0. The cache is neither read nor written.
  std::optional<Pooling> embedding;
  bool use_cache = true;  // false: neither read nor written
  // The agent or session it is for: lanes get equal shares of the engine and
  // of the cache. "": told by the prompt's beginning.
  std::string lane;
  PromptBorders borders;
  uint64_t origin = 0;  // the front's request that it is a part of
  // Tokens that the answer is likely to repeat: guesses come of them, too.
  std::vector<int32_t> prediction;
  std::string adapter;  // one of EngineInfo's; "" = the model as it is
  // With one choice. Runs before all that wait: a client is in mid-stream.
  std::optional<Resumption> resume;
};

struct EngineLogprob {
  std::optional<float> logprob;  // none for the first prompt token
  std::vector<ScoredToken> top;
};

// The prompt is in: once per request, before any token. With max_tokens 0
// every choice then ends with reason length. A request that is cancelled
// before this gets its ends and EngineDone without it.
struct EnginePrefilled {
  int cached_tokens = 0;
  double seconds = 0;
  std::vector<EngineLogprob> logprobs;  // one per prompt token if asked for
  // "place: keyword": what the grammar's schema lost (GrammarReport).
  std::vector<std::string> grammar_relaxed;
  std::vector<float> embedding;  // if asked for: of length 1
};
struct EngineProgress {
  int done = 0;  // prompt tokens in state, cached ones included
  int total = 0;
  int cached = 0;
};
struct EngineToken {
  int choice = 0;
  int32_t token = 0;
  std::optional<EngineLogprob> logprob;
};
struct EngineChoiceEnd {
  enum class Reason { end_token, length, cancelled };
  int choice = 0;
  Reason reason = Reason::end_token;
  // Not sent as an EngineToken. -1 where a grammar ended without one.
  int32_t end_token = -1;
};
struct EngineDone {
  double prefill_seconds = 0;
  double decode_seconds = 0;  // first to last token
  int generated = 0;          // tokens of all choices, end tokens included
  int drafted = 0;            // guesses that were looked at (speculation)
  int accepted = 0;           // those of them that became tokens
};
struct EngineFailed {
  Error error;
};
using EngineEvent = std::variant<
    EngineProgress,
    EnginePrefilled,
    EngineToken,
    EngineChoiceEnd,
    EngineDone,
    EngineFailed>;
using EngineSink = std::function<void(const EngineEvent&)>;

// What a front must know of the model behind the engine.
struct EngineInfo {
  std::string architecture;
  std::string device;  // "cpu", "metal", "cuda:0"
  int threads = 0;
  int vocabulary = 0;
  // The smallest of the model's, --ctx, and what memory holds for one request.
  int context_length = 0;
  int model_context_length = 0;
  int layers = 0;
  int64_t parameters = 0;
  uint64_t weight_bytes = 0;
  double load_seconds = 0;
  MemoryFacts memory;
  std::vector<std::string> adapters;  // that requests may name
};

struct EngineStats {
  int waiting = 0;
  int running = 0;
  uint64_t parked = 0;  // times that a request gave way for want of memory
  uint64_t prompt_tokens = 0;
  uint64_t cached_tokens = 0;
  uint64_t generated_tokens = 0;
  uint64_t drafted_tokens = 0;   // guesses, of speculation
  uint64_t accepted_tokens = 0;  // of them
  uint64_t kv_bytes = 0;
  uint64_t kept_prompts = 0;         // in the cache
  uint64_t evicted_prompts = 0;      // from it
  uint64_t disk_bytes = 0;           // of prompts kept on disk
  uint64_t resident_bytes = 0;       // of all processes, now
  uint64_t peak_bytes = 0;           // and at most so far
  double last_progress_seconds = 0;  // since a token or prefill chunk ended
  uint64_t restarts = 0;             // of the process that it runs in
  std::string trouble;               // why nothing can run; "" = all is well
};

using RequestId = uint64_t;

class Engine {
 public:
  virtual ~Engine() = default;

  virtual const EngineInfo& info() const = 0;

  // Never blocks. Errors found here (empty prompt, ids outside the
  // vocabulary, prompt + 1 > context, or prompt > context if max_tokens is 0)
  // come as EngineFailed through the sink.
  virtual RequestId submit(GenerateRequest request, EngineSink sink) = 0;

  // Ends one choice, or all when choice < 0. Its end is still reported.
  // Unknown or finished ids are ignored.
  virtual void cancel(RequestId id, int choice = -1) = 0;

  virtual EngineStats stats() const = 0;

  // Forgets kept prompts, in memory and on disk, as soon as it may.
  virtual void clear_cache() {}
};

// What changes a model's matrices for the requests that name it.
struct AdapterSource {
  std::string name;
  std::string folder;  // models/adapter.h
};

// Several tokens of an answer in one step, where guesses pay. It changes no
// answer (docs/decisions/0045-drafts-are-compared.md).
enum class Speculation {
  off,
  automatic,  // ngram where steps are row-invariant: on the CPU
  ngram,      // guesses are what stood behind the same tokens before
};

inline constexpr int kDefaultKvBits = 16;

struct EngineOptions {
  std::string model_path;  // a .gguf file or a folder
  std::string device = "auto";
  int threads = 0;               // 0 = all cores the process may use
  int context = 0;               // 0 = the model's
  bool exact = false;            // float32 activations and KV
  int kv_bits = kDefaultKvBits;  // or 8, 4: keys and values as codes; not exact
  int prefill_chunk = 512;       // less where memory is short
  uint64_t memory_limit = 0;     // bytes; 0 = 90 % of what there is
  uint64_t front_bytes = 0;  // of the limit, for the process before this one
  int most_choices = 16;     // that run at once; others wait
  int most_waiting = 256;    // requests; more are refused (busy)
  // Prompts outlive the process in this folder; "" = they don't. What another
  // `build` wrote is dropped.
  std::string disk_folder;
  uint64_t disk_bytes = 0;  // never more than a tenth of the free space
  std::string build;
  // What an earlier load of the same measured: kept to, so that what fitted
  // then fits again.
  std::optional<MemoryFacts> memory;
  std::vector<AdapterSource> adapters;
  Speculation speculation = Speculation::off;
  // A smaller model of the same vocabulary that guesses, too; "" = none.
  std::string draft_path;
};

// Whoever asks for an adapter that is not there.
Error no_adapter(const EngineInfo& info, const std::string& name);

// Loads the model and starts the engine thread. Blocks until it is ready.
// Defined in engine/mlx_load.cpp.
Result<std::unique_ptr<Engine>> make_engine(const EngineOptions& options);

}  // namespace rapid
