#include "engine/recording.h"

#include <algorithm>
#include <exception>
#include <stdexcept>
#include <utility>

#include "base/utf8.h"
#include "engine/recording_json.h"
#include "hub/text_file.h"

namespace rapid {
namespace {

constexpr int kVersion = 1;

std::string hex_of(const std::string& bytes) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string out;
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    out += kDigits[byte >> 4];
    out += kDigits[byte & 15];
  }
  return out;
}

std::string bytes_of(const std::string& hex) {
  std::string out;
  for (size_t i = 0; i + 1 < hex.size(); i += 2) {
    out += static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16));
  }
  return out;
}

// "text"; {"hex": ...} where it is no whole character.
Json json_of(const RecordedText& text) {
  const bool whole = utf8_valid(text.bytes);
  if (whole && !text.special) {
    return text.bytes;
  }
  Json out = {
      {whole ? "text" : "hex", whole ? text.bytes : hex_of(text.bytes)}};
  if (text.special) {
    out["special"] = true;
  }
  return out;
}

RecordedText text_from(const Json& json) {
  if (json.is_string()) {
    return {json.get<std::string>()};
  }
  RecordedText out;
  out.bytes = json.contains("hex") ? bytes_of(json.at("hex").get<std::string>())
                                   : json.at("text").get<std::string>();
  out.special = json.value("special", false);
  return out;
}

Json json_of(const RecordedModel& model) {
  return {
      {"name", model.name},
      {"alias", model.alias},
      {"path", model.path},
      {"architecture", model.architecture},
      {"device", model.device},
      {"parameters", model.parameters},
      {"weight_bytes", model.weight_bytes},
      {"vocabulary", model.vocabulary},
      {"context_length", model.context_length},
      {"exact", model.exact},
      {"kv_bits", model.kv_bits},
      {"format", model.format},
      {"reasoning", model.reasoning},
      {"chat_template", model.chat_template},
      {"end_tokens", model.end_tokens},
      {"adapters", model.adapters}};
}

RecordedModel model_from(const Json& json) {
  RecordedModel out;
  const auto take = [&](const char* key, auto& value) {
    value = json.at(key).get<std::decay_t<decltype(value)>>();
  };
  take("name", out.name);
  take("alias", out.alias);
  take("path", out.path);
  take("architecture", out.architecture);
  take("device", out.device);
  take("parameters", out.parameters);
  take("weight_bytes", out.weight_bytes);
  take("vocabulary", out.vocabulary);
  take("context_length", out.context_length);
  take("exact", out.exact);
  out.kv_bits = json.value("kv_bits", out.kv_bits);
  take("format", out.format);
  take("reasoning", out.reasoning);
  take("chat_template", out.chat_template);
  take("end_tokens", out.end_tokens);
  out.adapters = json.value("adapters", out.adapters);
  return out;
}

void need(bool holds, const char* what) {
  if (!holds) {
    throw std::invalid_argument(what);
  }
}

// What the engine and the front rely on.
void check(const Recording& recording) {
  constexpr int kMostRows = 1 << 28;
  const int rows = recording.model.vocabulary;
  need(rows > 0 && rows < kMostRows, "the vocabulary's size");
  const auto in_range = [&](const std::vector<int32_t>& ids) {
    return std::ranges::all_of(
        ids, [&](int32_t id) { return id >= 0 && id < rows; });
  };
  need(!recording.runs.empty(), "it has no runs");
  for (const RecordedRun& run : recording.runs) {
    const GenerateRequest& request = run.request;
    need(!request.prompt.empty() && in_range(request.prompt), "a prompt's ids");
    need(
        request.choices > 0 &&
            run.choices.size() == static_cast<size_t>(request.choices),
        "the number of choices");
    need(request.max_tokens >= 0, "max_tokens");
    need(
        !run.prefilled || run.prefilled->logprobs.empty() ||
            run.prefilled->logprobs.size() == request.prompt.size(),
        "the prompt's logprobs");
    for (const RecordedChoice& choice : run.choices) {
      need(in_range(choice.tokens), "an answer's ids");
    }
  }
  need(!recording.runs[0].request.resume, "the first run goes on from none");
}

Recording unpack(const Json& json) {
  Recording out;
  out.id = json.at("id").get<std::string>();
  out.time = json.at("time").get<double>();
  out.build = json.at("build").get<std::string>();
  out.model = model_from(json.at("model"));
  out.request = json.at("request");
  out.question = json.at("question").get<std::string>();
  out.conversation = json.at("conversation").get<std::string>();
  for (const Json& run : json.at("runs")) {
    out.runs.push_back(run_from(run));
  }
  for (const auto& [id, text] : json.at("text").items()) {
    out.text.emplace(std::stoi(id), text_from(text));
  }
  check(out);
  return out;
}

}  // namespace

Json to_json(const Recording& recording) {
  Json out = {
      {"recording", kVersion},
      {"id", recording.id},
      {"time", recording.time},
      {"build", recording.build},
      {"request", recording.request},
      {"output", recording.lines},
      {"runs", Json::array()},
      {"text", Json::object()},
      {"question", recording.question},
      {"conversation", recording.conversation},
      {"model", json_of(recording.model)}};
  for (const RecordedRun& run : recording.runs) {
    out["runs"].push_back(json_of(run));
  }
  for (const auto& [id, text] : recording.text) {
    out["text"][std::to_string(id)] = json_of(text);
  }
  return out;
}

Result<Recording> recording_from(const Json& json) {
  try {
    if (json.at("recording").get<int>() != kVersion) {
      return Error{
          ErrorCode::corrupt, "the recording is of another version of this"};
    }
    return unpack(json);
  } catch (const std::exception& e) {
    return Error{
        ErrorCode::corrupt, std::string("this is no recording: ") + e.what()};
  }
}

Result<std::vector<Recording>> read_recordings(
    const std::filesystem::path& path) {
  std::vector<std::filesystem::path> files;
  std::error_code failed;
  if (std::filesystem::is_directory(path, failed)) {
    for (const auto& entry :
         std::filesystem::directory_iterator(path, failed)) {
      if (entry.path().extension() == ".json") {
        files.push_back(entry.path());
      }
    }
    std::ranges::sort(files);
  } else {
    files.push_back(path);
  }
  std::vector<Recording> out;
  for (const auto& file : files) {
    RAPID_TRY(const Json json, read_json_file(file));
    auto recording = recording_from(json);
    if (!recording) {
      Error error = recording.error();
      error.param = file.string();
      error.what = file.string() + ": " + error.what;
      return error;
    }
    out.push_back(*std::move(recording));
  }
  if (out.empty()) {
    return Error{
        ErrorCode::not_found,
        "there are no recordings in " + path.string(),
        "`rapid-mlx serve MODEL --record DIR` writes them",
        path.string()};
  }
  return out;
}

}  // namespace rapid
