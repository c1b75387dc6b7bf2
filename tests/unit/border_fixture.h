// phi3_longrope on both sides of its rotation's border, as transformers says
// (write_border in tools/make_model_fixtures.py).
#pragma once

#include "models_fixture.h"

namespace rapid {

struct BorderFixture {
  std::vector<int32_t> brief;   // as long as the border
  std::vector<int32_t> prompt;  // shorter
  std::vector<int32_t> answer;  // greedy, across the border
  size_t vocabulary = 0;
  std::vector<float> logits;  // of `brief`, then a row a token of `answer`

  std::span<const float> brief_rows() const {
    return std::span(logits).first(brief.size() * vocabulary);
  }
  std::span<const float> answer_rows() const {
    return std::span(logits).subspan(brief.size() * vocabulary);
  }
};

inline BorderFixture read_border_fixture() {
  const auto folder = fixture_folder("phi3_longrope");
  const Json said = *parse_json(read_file(folder / "border.json"));
  const std::string raw = read_file(folder / "border.bin");
  BorderFixture out;
  out.brief = said["short"].get<std::vector<int32_t>>();
  out.prompt = said["prompt"].get<std::vector<int32_t>>();
  out.answer = said["answer"].get<std::vector<int32_t>>();
  out.logits.resize(raw.size() / sizeof(float));
  std::copy_n(
      raw.data(), raw.size(), reinterpret_cast<char*>(out.logits.data()));
  out.vocabulary = out.logits.size() / (out.brief.size() + out.answer.size());
  return out;
}

}  // namespace rapid
