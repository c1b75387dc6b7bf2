#include <algorithm>
#include <cmath>
#include <span>

#include "bench/roofline.h"
#include "kernels/op_clock.h"

namespace rapid {

namespace {

using Records = std::span<const OpRecord>;

// The records of each step; the head ends one.
std::vector<Records> steps_of(const std::vector<OpRecord>& all) {
  std::vector<Records> out;
  const Records records(all);
  size_t first = 0;
  for (size_t i = 0; i < all.size(); ++i) {
    if (all[i].op == "head") {
      out.push_back(records.subspan(first, i + 1 - first));
      first = i + 1;
    }
  }
  return out;
}

OpShare& share_of(std::vector<OpShare>& shares, std::string_view op) {
  for (OpShare& share : shares) {
    if (share.op == op) {
      return share;
    }
  }
  shares.push_back({.op = std::string(op)});
  return shares.back();
}

std::vector<OpShare> add_up(Records step) {
  std::vector<OpShare> out;
  for (const OpRecord& record : step) {
    OpShare& share = share_of(out, record.op);
    ++share.calls;
    share.seconds += record.seconds;
    share.bytes += static_cast<double>(record.bytes);
    share.operations += static_cast<double>(record.operations);
  }
  return out;
}

// Per op the median over steps of the same ops.
std::vector<OpShare> medians(const std::vector<std::vector<OpShare>>& steps) {
  std::vector<OpShare> out = steps.back();
  for (size_t i = 0; i < out.size(); ++i) {
    std::vector<double> seconds;
    for (const auto& step : steps) {
      if (i < step.size() && step[i].op == out[i].op) {
        seconds.push_back(step[i].seconds);
      }
    }
    out[i].seconds = median(std::move(seconds));
  }
  return out;
}

// What is left of `seconds`.
void add_other(std::vector<OpShare>& shares, double seconds) {
  double left = seconds;
  for (const OpShare& share : shares) {
    left -= share.seconds;
  }
  shares.push_back({.op = "other", .calls = 0, .seconds = std::max(left, 0.0)});
}

double sum_of(const std::vector<OpShare>& shares, double OpShare::* what) {
  double out = 0;
  for (const OpShare& share : shares) {
    out += share.*what;
  }
  return out;
}

Error no_ops() {
  return {
      ErrorCode::internal,
      "no kernel of the CPU ran",
      "--roofline is for models on the CPU: --device cpu"};
}

Result<std::vector<OpRecord>> records_of(
    Engine& engine, BenchOptions options, BenchRun& run) {
  const auto before = options.before_run;
  options.before_run = [&](int index) {
    if (before) {
      before(index);
    }
    if (index == 1) {
      start_op_clock();
    }
  };
  auto report = run_bench(engine, options);
  auto records = stop_op_clock();
  if (!report) {
    return report.error();
  }
  run = report->median;
  return records;
}

Status measure_decode(
    Engine& engine, const BenchOptions& options, Roofline& out) {
  BenchOptions decode = options;
  decode.prompt = 1;
  decode.generate = options.generate + 1;
  BenchRun run;
  RAPID_TRY(const auto records, records_of(engine, decode, run));
  const std::vector<Records> steps = steps_of(records);
  if (steps.size() < 2) {
    return no_ops();
  }
  std::vector<std::vector<OpShare>> shares;
  std::vector<double> seconds;
  const auto per_run = static_cast<size_t>(decode.generate);
  for (size_t i = 0; i < steps.size(); ++i) {
    shares.push_back(add_up(steps[i]));
    if (i % per_run + 1 < per_run && i + 1 < steps.size()) {
      seconds.push_back(steps[i + 1].front().start - steps[i].front().start);
    }
  }
  out.steps = static_cast<int>(seconds.size());
  out.fastest_seconds = *std::ranges::min_element(seconds);
  out.step_seconds = median(std::move(seconds));
  out.decode = medians(shares);
  add_other(out.decode, out.step_seconds);
  return {};
}

Status measure_prefill(
    Engine& engine, const BenchOptions& options, Roofline& out) {
  BenchOptions prefill = options;
  prefill.generate = 1;
  prefill.runs = 1;
  BenchRun run;
  RAPID_TRY(const auto records, records_of(engine, prefill, run));
  out.prompt = prefill.prompt;
  out.prompt_seconds = prefill.prompt / run.prefill_tps;
  out.prefill = add_up(records);
  add_other(out.prefill, out.prompt_seconds);
  return {};
}

double rounded(double value, double unit) {
  return std::round(value / unit * 1000) / 1000;
}

Json to_json(const std::vector<OpShare>& shares, const MachinePeaks& peaks) {
  Json out = Json::array();
  for (const OpShare& share : shares) {
    const double seconds = std::max(share.seconds, 1e-12);
    out.push_back(
        {{"op", share.op},
         {"calls", share.calls},
         {"us", rounded(share.seconds, 1e-6)},
         {"bytes", share.bytes},
         {"operations", share.operations},
         {"read_share", rounded(share.bytes / seconds / peaks.read, 1)},
         {"int8_share", rounded(share.operations / seconds / peaks.int8, 1)}});
  }
  return out;
}

}  // namespace

double Roofline::step_bytes() const {
  return sum_of(decode, &OpShare::bytes);
}

double Roofline::decode_share() const {
  return step_bytes() / peaks.read / step_seconds;
}

double Roofline::prefill_share() const {
  return sum_of(prefill, &OpShare::operations) / peaks.int8 / prompt_seconds;
}

Result<Roofline> measure_roofline(Engine& engine, const BenchOptions& options) {
  Roofline out;
  out.peaks = measure_peaks(engine.info().threads);
  RAPID_CHECK(measure_decode(engine, options, out));
  RAPID_CHECK(measure_prefill(engine, options, out));
  return out;
}

Json to_json(const Roofline& r) {
  const MachinePeaks& peaks = r.peaks;
  return {
      {"machine",
       {{"threads", peaks.threads},
        {"read_gb_s", rounded(peaks.read, 1e9)},
        {"int8_tops", rounded(peaks.int8, 1e12)},
        {"float32_tflops", rounded(peaks.floats, 1e12)},
        {"bfloat16_tflops",
         peaks.bfloat > 0 ? Json(rounded(peaks.bfloat, 1e12)) : Json()}}},
      {"decode",
       {{"step_us", rounded(r.step_seconds, 1e-6)},
        {"fastest_step_us", rounded(r.fastest_seconds, 1e-6)},
        {"steps", r.steps},
        {"bytes", r.step_bytes()},
        {"read_share", rounded(r.decode_share(), 1)},
        {"ops", to_json(r.decode, peaks)}}},
      {"prefill",
       {{"tokens", r.prompt},
        {"ms", rounded(r.prompt_seconds, 1e-3)},
        {"int8_share", rounded(r.prefill_share(), 1)},
        {"ops", to_json(r.prefill, peaks)}}}};
}

}  // namespace rapid
