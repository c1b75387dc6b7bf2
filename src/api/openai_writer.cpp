// OpenAiWriter: chunks or one JSON out of the same pieces.
#include <fmt/format.h>

#include <stdexcept>

#include "api/openai_common.h"

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

namespace {

// Printable ASCII only, and not too long.
std::string header_value(const std::vector<std::string>& parts) {
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

}  // namespace

OpenAiWriter::OpenAiWriter(
    std::shared_ptr<ResponseStream> stream, OpenAiReplyOptions options)
    : stream_(std::move(stream)),
      options_(std::move(options)),
      opened_(options_.choices, false),
      whole_(options_.choices) {}

void OpenAiWriter::on(const chat::Event& event) {
  if (const auto* started = std::get_if<chat::Started>(&event)) {
    relaxed_ = started->relaxed;
    if (!relaxed_.empty()) {
      stream_->header("x-rapid-mlx-relaxed", header_value(relaxed_));
    }
    if (options_.stream) {
      stream_->header("x-accel-buffering", "no");
      stream_->start_events();
    }
  } else if (const auto* done = std::get_if<chat::Done>(&event)) {
    if (!options_.stream) {
      return send_whole(done->usage);
    }
    if (options_.include_usage) {
      send_chunk(Json::array(), &done->usage, true);
    }
    stream_->event("[DONE]");
    stream_->end_events();
  } else if (const auto* failed = std::get_if<chat::Failed>(&event)) {
    reply_error(*stream_, failed->error, standard_error_body);
  } else if (!std::holds_alternative<chat::Progress>(event)) {
    const int index = std::visit(
        [](const auto& e) {
          if constexpr (requires { e.choice; }) {
            return e.choice;
          } else {
            return -1;
          }
        },
        event);
    on_choice(index, event);
  }
}

void OpenAiWriter::on_choice(int index, const chat::Event& event) {
  if (index < 0 || index >= options_.choices) {
    throw std::out_of_range(fmt::format("an event of choice {}", index));
  }
  if (!opened_[index]) {
    opened_[index] = true;
    if (options_.stream) {
      if (Json first = opening(index, event); !first.is_null()) {
        emit(index, std::move(first));
      }
    } else {
      whole_[index] = empty_choice(index);
    }
  }
  if (const auto* rejected = std::get_if<chat::Rejected>(&event)) {
    Json entry = {{"raw", rejected->raw}, {"reason", rejected->reason}};
    if (options_.choices > 1) {
      entry["choice"] = index;
    }
    rejected_.push_back(std::move(entry));
  }
  if (const auto* finished = std::get_if<chat::Finished>(&event)) {
    ++finished_;
    redecoded_ += finished->redecoded;
    loop_ = loop_.is_null() ? loop_json(*finished) : std::move(loop_);
  }
  if (Json next = piece(index, event); !next.is_null()) {
    emit(index, std::move(next));
  }
}

Json OpenAiWriter::choice_of(int index, std::string_view key, Json value) {
  return {
      {"index", index},
      {key, std::move(value)},
      {"logprobs", nullptr},
      {"finish_reason", nullptr}};
}

void OpenAiWriter::emit(int index, Json piece) {
  if (!options_.stream) {
    return merge(whole_[index], std::move(piece));
  }
  const bool last = finished_ == options_.choices && !options_.include_usage;
  send_chunk(Json::array({std::move(piece)}), nullptr, last);
}

Json OpenAiWriter::envelope(bool chunk) const {
  return {
      {"id", options_.id},
      {"object", chunk ? options_.chunk_object : options_.object},
      {"created", options_.created},
      {"model", options_.model},
      {"system_fingerprint", options_.fingerprint}};
}

// What is ours, under one key: calls that were no calls, loops, and times.
Json OpenAiWriter::extras(const chat::Usage* usage) const {
  Json ours = Json::object();
  if (!rejected_.empty()) {
    ours["rejected"] = rejected_;
  }
  if (redecoded_ > 0) {
    ours["redecoded"] = redecoded_;
  }
  if (!relaxed_.empty()) {
    ours["relaxed"] = relaxed_;
  }
  if (!loop_.is_null()) {
    ours["loop"] = loop_;
  }
  if (usage != nullptr) {
    ours["timings"] = {
        {"prefill_seconds", usage->prefill_seconds},
        {"decode_seconds", usage->decode_seconds}};
  }
  return ours;
}

void OpenAiWriter::send_chunk(
    Json choices, const chat::Usage* usage, bool last) {
  Json chunk = envelope(true);
  chunk["choices"] = std::move(choices);
  if (options_.include_usage) {
    chunk["usage"] = usage != nullptr ? openai_usage(*usage) : Json(nullptr);
  }
  if (last) {
    if (Json ours = extras(usage); !ours.empty()) {
      chunk["rapid_mlx"] = std::move(ours);
    }
  }
  stream_->event(dump_json(chunk));
}

void OpenAiWriter::send_whole(const chat::Usage& usage) {
  Json reply = envelope(false);
  for (Json& choice : whole_) {
    finish_choice(choice);
  }
  reply["choices"] = std::move(whole_);
  reply["usage"] = openai_usage(usage);
  reply["rapid_mlx"] = extras(&usage);
  stream_->reply(200, dump_json(reply), "application/json");
}

}  // namespace rapid
