// The tiny checkpoints of tests/parity/fixtures (tools/make_model_fixtures.py)
// and what tests do with a model: run tokens, read logits.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "base/json.h"
#include "models/registry.h"

namespace rapid {

struct Fixture {
  std::string name;
  std::vector<int32_t> tokens;
  int vocabulary = 0;
  std::vector<float> logits;  // [tokens, vocabulary], the reference
};

inline std::filesystem::path fixture_folder(const std::string& name) {
  return std::filesystem::path(RAPID_MLX_TEST_DATA) / "parity/fixtures" / name;
}

inline std::vector<std::string> fixture_names() {
  std::vector<std::string> out;
  for (const auto& entry :
       std::filesystem::directory_iterator(fixture_folder(""))) {
    out.push_back(entry.path().filename().string());
  }
  std::sort(out.begin(), out.end());
  return out;
}

inline std::string read_file(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream out;
  out << in.rdbuf();
  return out.str();
}

inline Fixture read_fixture(const std::string& name) {
  const auto golden =
      parse_json(read_file(fixture_folder(name) / "golden.json"));
  const std::string raw = read_file(fixture_folder(name) / "golden.bin");
  Fixture out;
  out.name = name;
  out.tokens = (*golden)["tokens"].get<std::vector<int32_t>>();
  out.vocabulary = (*golden)["vocabulary"].get<int>();
  out.logits.resize(raw.size() / sizeof(float));
  std::copy_n(
      raw.data(), raw.size(), reinterpret_cast<char*>(out.logits.data()));
  return out;
}

inline std::unique_ptr<Model> load_model(
    const std::filesystem::path& path, bool exact = true) {
  auto files = ModelFiles::open(path.string());
  if (!files) {
    ADD_FAILURE() << files.error().what;
    return nullptr;
  }
  auto model = ModelRegistry::global().load(*files, {.exact = exact});
  if (!model) {
    ADD_FAILURE() << model.error().what;
    return nullptr;
  }
  return *std::move(model);
}

// States for a sequence that will have so many tokens.
inline SequenceState states_for(
    const Model& model, size_t length, StateOptions options = {}) {
  options.form = model.info().forms.of(length);
  return model.make_states(options);
}

// Evaluates one forward pass as the engine does, and copies its rows out.
inline std::vector<float> run(
    Model& model, std::span<const SequenceInput> batch) {
  const mx::array logits = mx::contiguous(model.forward(batch));
  std::vector<mx::array> all = {logits};
  for (const SequenceInput& input : batch) {
    for (const auto& state : *input.states) {
      state->collect(all);
    }
  }
  mx::eval(all);
  return {logits.data<float>(), logits.data<float>() + logits.size()};
}

inline std::vector<float> run_all(
    Model& model, SequenceState& states, std::span<const int32_t> tokens) {
  const SequenceInput input{tokens, &states, SequenceInput::Logits::all};
  return run(model, {&input, 1});
}

inline void append(std::vector<float>& to, const std::vector<float>& rows) {
  to.insert(to.end(), rows.begin(), rows.end());
}

}  // namespace rapid
