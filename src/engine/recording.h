// A request as it was: what was asked, what the engine was given and what came
// of it. One JSON file each, enough to run it again and compare every token,
// or to answer the same question without the model.
//
//   {"recording": 1, "id", "time", "build", "model": {...}, "request": {...},
//    "runs": [{"prompt": [ids], "sampling": {...}, ...,
//              "choices": [{"tokens": [ids], "end": "end_token"}]}],
//    "text": {"id": "its text"}, "output": ["raw text of each choice"]}
//
// A run is one request of the engine; where a choice was decoded anew (a call
// that had to be repaired, a thought over its budget) there is one more.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "engine/engine.h"

namespace rapid {

struct RecordedChoice {
  std::vector<int32_t> tokens;
  std::vector<EngineLogprob> logprobs;  // one per token, if asked for
  // None: the recording ends in the middle of it.
  std::optional<EngineChoiceEnd::Reason> end;
  int32_t end_token = -1;
};

struct RecordedRun {
  GenerateRequest request;
  std::optional<EnginePrefilled> prefilled;
  std::vector<RecordedChoice> choices;
  std::optional<Error> error;
};

// Who answered.
struct RecordedModel {
  std::string name;
  std::string alias;
  std::string path;
  std::string architecture;
  std::string device;
  int64_t parameters = 0;
  uint64_t weight_bytes = 0;
  int vocabulary = 0;
  int context_length = 0;
  bool exact = false;
  int kv_bits = kDefaultKvBits;
  std::string format;
  std::string reasoning;
  std::string chat_template;
  std::vector<int32_t> end_tokens;
  std::vector<std::string> adapters;
};

// Of one token.
struct RecordedText {
  std::string bytes;
  bool special = false;  // no text, unless a format wants to see it
};

struct Recording {
  std::string id;
  double time = 0;  // seconds since the epoch
  std::string build;
  RecordedModel model;
  Json request;                    // request_json()
  std::string question;            // question_key()
  std::string conversation;        // conversation_key()
  std::vector<RecordedRun> runs;   // as they began
  std::vector<std::string> lines;  // "output": for people, not read back
  std::map<int32_t, RecordedText> text;
};

Json to_json(const Recording& recording);
// Errors: corrupt, with what is wrong.
Result<Recording> recording_from(const Json& json);

// One file, or all *.json of a folder by name. Errors: not_found, corrupt.
Result<std::vector<Recording>> read_recordings(
    const std::filesystem::path& path);

}  // namespace rapid
