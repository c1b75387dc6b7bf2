// What llama.cpp's llama-bench is asked and what it answers (-o json).
//
// Its prefill test evaluates n_prompt tokens from an empty context, its decode
// test n_gen tokens one by one from an empty context; both warm up first.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace rapid {

struct LlamaBenchTest {
  bool flash_attention = false;
  int prompt = 0;
  int generate = 0;
  double tps = 0;
};

struct LlamaBenchOutput {
  std::string commit;  // of its build
  int build = 0;
  std::string cpu;
  std::vector<LlamaBenchTest> tests;

  // Errors: corrupt, when it did not run that test.
  Result<double> speed(bool flash_attention, int prompt, int generate) const;
};

// Errors: corrupt, with the field that is missing.
Result<LlamaBenchOutput> parse_llama_bench(std::string_view json);

// One repetition each of prefill and decode, without and with flash attention.
std::vector<std::string> llama_bench_command(
    const std::string& program,
    const std::string& file,
    int prompt,
    int generate,
    int threads);

}  // namespace rapid
