// For tools/grammar_check.py: a JSON Schema a line on stdin; a line out with
// what random walks through its masks wrote:
//   {"relaxed": [...], "schema": {...}, "documents": ["...", ...],
//    "micros": [of each mask]}
//   {"error": "..."}
// grammar_walk MODEL.gguf [walks] [tokens]; a MODEL of `-`: bytes and merges.
#include <fmt/format.h>
#include <time.h>

#include <algorithm>
#include <iostream>
#include <random>

#include "../unit/grammar_words.h"
#include "base/json.h"
#include "hub/gguf.h"

namespace rapid {
namespace {

using Words = std::shared_ptr<const GrammarVocabulary>;

Result<Words> open_words(const std::string& model) {
  if (model == "-") {
    return test::build_words(test::byte_words(), 40);
  }
  RAPID_TRY(const auto file, GgufFile::open(model));
  RAPID_TRY(const auto vocabulary, file->vocabulary());
  RAPID_TRY(const auto tokenizer, Tokenizer::from_vocabulary(vocabulary));
  // Rows as models pad them.
  return GrammarVocabulary::build(
      tokenizer, tokenizer->end_tokens(), tokenizer->size() + 100);
}

struct Walker {
  Words words;
  std::vector<bool> closes;  // a token that begins with a closer
  std::mt19937 random{11};
  std::vector<double> micros;

  bool ends(int32_t token) const {
    const auto& all = words->end_tokens();
    return std::find(all.begin(), all.end(), token) != all.end();
  }

  // Timed by what this thread worked: others may keep the machine busy.
  Status fill(GrammarState& state, std::vector<uint32_t>& bits) {
    timespec begin{};
    timespec end{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &begin);
    Status done = state.fill_mask(bits);
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &end);
    micros.push_back(
        static_cast<double>(end.tv_sec - begin.tv_sec) * 1e6 +
        static_cast<double>(end.tv_nsec - begin.tv_nsec) / 1e3);
    return done;
  }

  // Ends soon: closers and end tokens are taken more often than not.
  std::string walk(const std::shared_ptr<const Grammar>& grammar, int most) {
    GrammarState state(grammar);
    std::vector<uint32_t> bits(words->mask_words());
    std::vector<int32_t> allowed;
    std::vector<int32_t> closers;
    std::string out;
    for (int n = 0; n < most && !state.stopped(); ++n) {
      if (const Status filled = fill(state, bits); !filled) {
        return "error: " + filled.error().what;
      }
      allowed.clear();
      closers.clear();
      for (int32_t id = 0; id < words->rows(); ++id) {
        if (bits[id / 32] == 0) {
          id |= 31;
        } else if ((bits[id / 32] >> (id % 32) & 1) != 0) {
          allowed.push_back(id);
          if (closes[id]) {
            closers.push_back(id);
          }
        }
      }
      const bool close = !closers.empty() && random() % 10 < 6;
      const auto& from = close ? closers : allowed;
      const int32_t token = from[random() % from.size()];
      if (const Status accepted = state.accept(token); !accepted) {
        return "error: " + accepted.error().what;
      }
      if (ends(token)) {
        return out;
      }
      out += words->token_bytes(token);
    }
    return state.accepting() ? out : "";  // "": not at its end yet
  }
};

int run(const std::string& model, int walks, int most) {
  const auto words = open_words(model);
  if (!words) {
    fmt::print(stderr, "{}\n", words.error().what);
    return 1;
  }
  Walker walker{.words = *words};
  for (int32_t id = 0; id < (*words)->rows(); ++id) {
    const std::string bytes = (*words)->token_bytes(id);
    walker.closes.push_back(
        walker.ends(id) ||
        (!bytes.empty() && !(*words)->is_marker(id) &&
         std::string_view("\"}]").find(bytes[0]) != std::string::npos));
  }
  for (std::string line; std::getline(std::cin, line);) {
    Json out;
    GrammarReport report;
    auto grammar = Grammar::compile(
        *words, {GrammarSource::Kind::json_schema, line}, &report);
    if (!grammar) {
      out["error"] = grammar.error().what;
    } else {
      out["relaxed"] = report.relaxed;
      const auto relaxed = relax_schema(Json::parse(line));
      out["schema"] = relaxed ? relaxed->schema : Json();
      walker.micros.clear();
      for (int i = 0; i < walks; ++i) {
        out["documents"].push_back(walker.walk(*grammar, most));
      }
      out["micros"] = walker.micros;
    }
    fmt::print("{}\n", dump_json(out));
  }
  return 0;
}

}  // namespace
}  // namespace rapid

int main(int argc, char** argv) {
  if (argc < 2) {
    fmt::print(stderr, "usage: grammar_walk MODEL.gguf|- [walks] [tokens]\n");
    return 2;
  }
  return rapid::run(
      argv[1],
      argc > 2 ? std::stoi(argv[2]) : 10,
      argc > 3 ? std::stoi(argv[3]) : 1500);
}
