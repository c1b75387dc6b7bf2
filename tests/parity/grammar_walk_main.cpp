// For tools/grammar_check.py: a JSON Schema a line on stdin; a line out with
// what random walks through its masks wrote:
//   {"relaxed": [...], "schema": {...}, "documents": ["...", ...]}
//   {"error": "..."}
// grammar_walk [walks] [tokens]
#include <fmt/format.h>

#include <iostream>
#include <random>

#include "../unit/grammar_words.h"
#include "base/json.h"

namespace rapid {
namespace {

// Ends soon: closers and the end token are taken more often than not.
std::string walk(
    const test::Words& words,
    const std::shared_ptr<const Grammar>& grammar,
    int most,
    std::mt19937& random) {
  const GrammarVocabulary& vocabulary = grammar->vocabulary();
  GrammarState state(grammar);
  std::vector<uint32_t> bits(vocabulary.mask_words());
  std::string out;
  for (int n = 0; n < most && !state.stopped(); ++n) {
    if (const Status filled = state.fill_mask(bits); !filled) {
      return "error: " + filled.error().what;
    }
    std::vector<int32_t> allowed;
    std::vector<int32_t> closers;
    for (int32_t id = 0; id < vocabulary.rows(); ++id) {
      if ((bits[id / 32] >> (id % 32) & 1) == 0) {
        continue;
      }
      allowed.push_back(id);
      const bool closes = id == '"' || id == '}' || id == ']';
      if (closes || id == words.end) {
        closers.push_back(id);
      }
    }
    const bool close = !closers.empty() && random() % 10 < 4;
    const auto& from = close ? closers : allowed;
    const int32_t token = from[random() % from.size()];
    if (token == words.end) {
      return out;
    }
    if (const Status accepted = state.accept(token); !accepted) {
      return "error: " + accepted.error().what;
    }
    out += vocabulary.token_bytes(token);
  }
  return state.accepting() ? out : "";  // "": not at its end yet
}

int run(int walks, int most) {
  const test::Words words = test::byte_words();
  const auto vocabulary = test::build_words(words);
  std::mt19937 random(11);
  for (std::string line; std::getline(std::cin, line);) {
    Json out;
    GrammarReport report;
    auto grammar = Grammar::compile(
        vocabulary, {GrammarSource::Kind::json_schema, line}, &report);
    if (!grammar) {
      out["error"] = grammar.error().what;
    } else {
      out["relaxed"] = report.relaxed;
      const auto relaxed = relax_schema(Json::parse(line));
      out["schema"] = relaxed ? relaxed->schema : Json();
      for (int i = 0; i < walks; ++i) {
        out["documents"].push_back(walk(words, *grammar, most, random));
      }
    }
    fmt::print("{}\n", dump_json(out));
  }
  return 0;
}

}  // namespace
}  // namespace rapid

int main(int argc, char** argv) {
  return rapid::run(
      argc > 1 ? std::stoi(argv[1]) : 10, argc > 2 ? std::stoi(argv[2]) : 1500);
}
