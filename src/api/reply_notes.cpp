#include "api/reply_notes.h"

#include <utility>

#include "api/cache_report.h"

namespace rapid {
namespace {

// Of the tokens, else of the calls; null = none.
Json loop_json(const chat::Finished& finished) {
  if (const auto& loop = finished.token_loop) {
    return {
        {"kind", "tokens"},
        {"choice", finished.choice},
        {"period", loop->period},
        {"repeats", loop->repeats},
        {"start", loop->start}};
  }
  if (const auto& loop = finished.call_loop) {
    return {{"kind", "call"}, {"name", loop->name}, {"times", loop->times}};
  }
  return nullptr;
}

}  // namespace

std::string header_text(const std::vector<std::string>& parts) {
  constexpr size_t kLongest = 1024;
  std::string out;
  for (const std::string& part : parts) {
    out += (out.empty() ? "" : "; ") + part;
  }
  for (char& c : out) {
    c = c >= ' ' && c <= '~' ? c : '?';
  }
  return out.substr(0, kLongest);
}

Json tool_run_json(const chat::ToolRun& run) {
  Json out = {
      {"id", run.call.id},
      {"server", run.server},
      {"name", run.tool},
      {"arguments", run.call.arguments}};
  if (run.result) {
    out["result"] = *run.result;
    out["is_error"] = run.is_error;
  }
  return out;
}

void ReplyNotes::on(const chat::Event& event) {
  if (const auto* started = std::get_if<chat::Started>(&event)) {
    relaxed_ = started->relaxed;
  } else if (const auto* rejected = std::get_if<chat::Rejected>(&event)) {
    Json entry = {{"raw", rejected->raw}, {"reason", rejected->reason}};
    if (choices_ > 1) {
      entry["choice"] = rejected->choice;
    }
    rejected_.push_back(std::move(entry));
  } else if (const auto* run = std::get_if<chat::ToolRun>(&event)) {
    if (run->result) {
      tool_runs_.push_back(tool_run_json(*run));
    }
  } else if (const auto* finished = std::get_if<chat::Finished>(&event)) {
    redecoded_ += finished->redecoded;
    loop_ = loop_.is_null() ? loop_json(*finished) : std::move(loop_);
  }
}

void ReplyNotes::send_headers(ResponseStream& stream) const {
  if (!relaxed_.empty()) {
    stream.header("x-rapid-mlx-relaxed", header_text(relaxed_));
  }
  if (!ignored_.empty()) {
    stream.header("x-rapid-mlx-ignored", header_text(ignored_));
  }
}

Json ReplyNotes::json(const chat::Usage* usage) const {
  Json ours = Json::object();
  if (!rejected_.empty()) {
    ours["rejected"] = rejected_;
  }
  if (!tool_runs_.empty()) {
    ours["tool_runs"] = tool_runs_;
  }
  if (redecoded_ > 0) {
    ours["redecoded"] = redecoded_;
  }
  if (!relaxed_.empty()) {
    ours["relaxed"] = relaxed_;
  }
  if (!ignored_.empty()) {
    ours["ignored"] = ignored_;
  }
  if (!loop_.is_null()) {
    ours["loop"] = loop_;
  }
  if (usage != nullptr) {
    ours["timings"] = {
        {"prefill_seconds", usage->prefill_seconds},
        {"decode_seconds", usage->decode_seconds}};
    if (explain_cache_ && usage->cache) {
      ours["cache"] = cache_report_json(*usage->cache);
    }
  }
  return ours;
}

}  // namespace rapid
