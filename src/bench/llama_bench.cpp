#include "bench/llama_bench.h"

#include <fmt/format.h>

#include "base/json.h"

namespace rapid {

namespace {

Error unexpected(std::string what) {
  return {
      ErrorCode::corrupt,
      std::move(what),
      "is it llama.cpp's llama-bench, of a version that knows -o json?"};
}

// Versions differ in whether a flag is a number or true and false.
Result<double> number_of(const Json& test, const char* key) {
  const auto found = test.find(key);
  if (found == test.end() || !(found->is_number() || found->is_boolean())) {
    return unexpected(fmt::format("llama-bench's answer has no {}", key));
  }
  return found->is_boolean() ? double(found->get<bool>())
                             : found->get<double>();
}

std::string text_of(const Json& test, const char* key) {
  const auto found = test.find(key);
  return found != test.end() && found->is_string() ? found->get<std::string>()
                                                   : "";
}

Result<LlamaBenchTest> read_test(const Json& json) {
  if (!json.is_object()) {
    return unexpected("llama-bench's answer is not a list of tests");
  }
  RAPID_TRY(const double flash, number_of(json, "flash_attn"));
  RAPID_TRY(const double prompt, number_of(json, "n_prompt"));
  RAPID_TRY(const double generate, number_of(json, "n_gen"));
  RAPID_TRY(const double tps, number_of(json, "avg_ts"));
  if (!(tps > 0)) {
    return unexpected(fmt::format("llama-bench measured {} tok/s", tps));
  }
  return LlamaBenchTest{flash > 0, int(prompt), int(generate), tps};
}

}  // namespace

Result<double> LlamaBenchOutput::speed(
    bool flash_attention, int prompt, int generate) const {
  for (const auto& test : tests) {
    if (test.flash_attention == flash_attention && test.prompt == prompt &&
        test.generate == generate) {
      return test.tps;
    }
  }
  return unexpected(fmt::format(
      "llama-bench did not run {} prompt and {} generated tokens with "
      "-fa {}",
      prompt,
      generate,
      int(flash_attention)));
}

Result<LlamaBenchOutput> parse_llama_bench(std::string_view text) {
  const auto json = parse_json(text);
  if (!json) {
    return unexpected("llama-bench printed no JSON: " + json.error().what);
  }
  if (!json->is_array() || json->empty()) {
    return unexpected("llama-bench's answer is not a list of tests");
  }
  LlamaBenchOutput out;
  for (const Json& test : *json) {
    RAPID_TRY(auto read, read_test(test));
    out.tests.push_back(read);
  }
  const Json& first = json->front();
  out.commit = text_of(first, "build_commit");
  out.cpu = text_of(first, "cpu_info");
  RAPID_TRY(const double build, number_of(first, "build_number"));
  out.build = int(build);
  return out;
}

std::vector<std::string> llama_bench_command(
    const std::string& program,
    const std::string& file,
    int prompt,
    int generate,
    int threads) {
  return {
      program,
      "-m",
      file,
      "-p",
      std::to_string(prompt),
      "-n",
      std::to_string(generate),
      "-t",
      std::to_string(threads),
      "-r",
      "1",
      "-o",
      "json",
      "-ngl",
      "0",
      "-fa",
      "0,1"};
}

}  // namespace rapid
