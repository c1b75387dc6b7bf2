// OpenAiWriter: chunks or one JSON out of the same pieces.
#include <fmt/format.h>

#include <stdexcept>

#include "api/openai_common.h"

namespace rapid {

OpenAiWriter::OpenAiWriter(
    std::shared_ptr<ResponseStream> stream, OpenAiReplyOptions options)
    : stream_(std::move(stream)),
      options_(std::move(options)),
      opened_(options_.choices, false),
      whole_(options_.choices),
      notes_(options_.choices, options_.explain_cache) {}

void OpenAiWriter::waiting(const std::string& why) {
  if (options_.stream) {
    stream_->start_events();
    stream_->note(why);
  }
}

void OpenAiWriter::on(const chat::Event& event) {
  if (const auto* run = std::get_if<chat::ToolRun>(&event)) {
    return tool_run(*run, event);
  }
  notes_.on(event);
  if (std::holds_alternative<chat::Started>(event)) {
    notes_.send_headers(*stream_);
    if (options_.stream) {
      stream_->header("x-accel-buffering", "no");
      stream_->start_events();
      stream_->note("waiting");
    }
  } else if (const auto* done = std::get_if<chat::Done>(&event)) {
    if (!options_.stream) {
      return send_whole(done->usage);
    }
    if (options_.include_usage || options_.explain_cache) {
      send_chunk(Json::array(), &done->usage, true);
    }
    stream_->event("[DONE]");
    stream_->end_events();
  } else if (const auto* failed = std::get_if<chat::Failed>(&event)) {
    reply_error(*stream_, failed->error, standard_error_body);
  } else if (const auto* progress = std::get_if<chat::Progress>(&event)) {
    stream_->note(
        progress->done < progress->total
            ? fmt::format(
                  "{} of {} prompt tokens", progress->done, progress->total)
            : "");
  } else {
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
  open_choice(index, event);
  finished_ += std::holds_alternative<chat::Finished>(event) ? 1 : 0;
  if (Json next = piece(index, event); !next.is_null()) {
    emit(index, std::move(next));
  }
}

void OpenAiWriter::open_choice(int index, const chat::Event& event) {
  if (opened_[index]) {
    return;
  }
  opened_[index] = true;
  if (!options_.stream) {
    whole_[index] = empty_choice(index);
  } else if (Json first = opening(index, event); !first.is_null()) {
    emit(index, std::move(first));
  }
}

// A chunk that adds nothing, for clients that know no more; or a note.
void OpenAiWriter::tool_run(
    const chat::ToolRun& run, const chat::Event& event) {
  ran();
  if (!options_.stream) {
    return notes_.on(event);
  }
  open_choice(0, event);
  Json chunk = envelope(true);
  chunk["choices"] = {choice_of(0, "delta", Json::object())};
  if (options_.include_usage) {
    chunk["usage"] = nullptr;
  }
  chunk["rapid_mlx"] = {{"tool_run", tool_run_json(run)}};
  stream_->event(dump_json(chunk));
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
  const bool last = finished_ == options_.choices && !options_.include_usage &&
                    !options_.explain_cache;
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

void OpenAiWriter::send_chunk(
    Json choices, const chat::Usage* usage, bool last) {
  Json chunk = envelope(true);
  chunk["choices"] = std::move(choices);
  if (options_.include_usage) {
    chunk["usage"] = usage != nullptr ? openai_usage(*usage) : Json(nullptr);
  }
  if (last) {
    if (Json ours = notes_.json(usage); !ours.empty()) {
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
  reply["rapid_mlx"] = notes_.json(&usage);
  stream_->reply(200, dump_json(reply), "application/json");
}

}  // namespace rapid
