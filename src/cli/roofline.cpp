#include "cli/roofline.h"

#include <fmt/format.h>

#include <algorithm>

#include "cli/table.h"

namespace rapid {

namespace {

std::string percent(double share) {
  return fmt::format("{:.0f} %", 100 * share);
}

std::string or_dash(bool known, std::string text) {
  return known ? text : "-";
}

void print_machine(const MachinePeaks& peaks) {
  fmt::print(
      "{} threads: {:.1f} GB/s read, {:.2f} TOPS int8, {:.2f} TFLOPS float32, "
      "{} TFLOPS bfloat16\n\n",
      peaks.threads,
      peaks.read / 1e9,
      peaks.int8 / 1e12,
      peaks.floats / 1e12,
      or_dash(peaks.bfloat > 0, fmt::format("{:.2f}", peaks.bfloat / 1e12)));
}

void print_ops(
    const std::vector<OpShare>& ops, double seconds, const MachinePeaks& m) {
  const auto right = Table::Align::right;
  Table table(
      {{"OP"},
       {"CALLS", right},
       {"TIME", right},
       {"OF ALL", right},
       {"BYTES", right},
       {"OF READ", right},
       {"OF INT8", right}});
  for (const OpShare& op : ops) {
    const double time = std::max(op.seconds, 1e-12);
    table.row(
        {op.op,
         or_dash(op.calls > 0, std::to_string(op.calls)),
         fmt::format("{:.0f} us", op.seconds * 1e6),
         percent(op.seconds / seconds),
         or_dash(op.bytes > 0, human_bytes(static_cast<uint64_t>(op.bytes))),
         or_dash(op.bytes > 0, percent(op.bytes / time / m.read)),
         or_dash(op.operations > 0, percent(op.operations / time / m.int8))});
  }
  fmt::print("{}", table.text());
}

}  // namespace

void print_roofline(const Roofline& r) {
  print_machine(r.peaks);
  fmt::print(
      "A decode step: {:.0f} us ({:.1f} tok/s; the fastest {:.0f} us) for {}, "
      "{} of the read speed\n",
      r.step_seconds * 1e6,
      1 / r.step_seconds,
      r.fastest_seconds * 1e6,
      human_bytes(static_cast<uint64_t>(r.step_bytes())),
      percent(r.decode_share()));
  print_ops(r.decode, r.step_seconds, r.peaks);
  fmt::print(
      "\nA prompt of {}: {} ({:.1f} tok/s), {} of the int8 peak\n",
      r.prompt,
      human_seconds(r.prompt_seconds),
      r.prompt / r.prompt_seconds,
      percent(r.prefill_share()));
  print_ops(r.prefill, r.prompt_seconds, r.peaks);
}

}  // namespace rapid
