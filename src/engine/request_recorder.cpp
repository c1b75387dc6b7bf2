#include "engine/request_recorder.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <future>
#include <span>
#include <utility>

#include "base/log.h"
#include "engine/request_json.h"
#include "formats/reasoning.h"
#include "hub/file_writer.h"

namespace rapid {
namespace {

namespace fs = std::filesystem;

// Of the prompt's end: what tells whether reasoning is open.
constexpr size_t kTail = 16;

double time_of_day() {
  const std::chrono::duration<double> since =
      std::chrono::system_clock::now().time_since_epoch();
  return since.count();
}

// "000017-chatcmpl-abc.json"
std::string file_name(int number, const std::string& id) {
  std::string safe = id.substr(0, 80);
  for (char& c : safe) {
    const bool plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
                       (c >= 'A' && c <= 'Z') || c == '-' || c == '_';
    c = plain ? c : '_';
  }
  return fmt::format("{:06}{}{}.json", number, safe.empty() ? "" : "-", safe);
}

int highest_number(const fs::path& folder) {
  int out = 0;
  std::error_code failed;
  for (const auto& entry : fs::directory_iterator(folder, failed)) {
    const std::string name = entry.path().filename().string();
    out = std::max(out, std::atoi(name.c_str()));
  }
  return out;
}

// What a client sees of it, alone.
std::string shown(
    const TextCodec& codec, int32_t id, const std::vector<std::string>& kept) {
  const auto stream = codec.stream(kept);
  return stream->push(id) + stream->flush();
}

void add_text(
    const TextCodec& codec,
    std::span<const int32_t> ids,
    std::map<int32_t, RecordedText>& out) {
  for (const int32_t id : ids) {
    if (id < 0 || id >= codec.size() || out.contains(id)) {
      continue;
    }
    RecordedText text{codec.token_bytes(id)};
    text.special = shown(codec, id, {}) != shown(codec, id, {text.bytes});
    out.emplace(id, std::move(text));
  }
}

void add_text(
    const TextCodec& codec,
    const std::vector<EngineLogprob>& logprobs,
    std::map<int32_t, RecordedText>& out) {
  for (const EngineLogprob& each : logprobs) {
    for (const ScoredToken& token : each.top) {
      add_text(codec, std::span(&token.id, 1), out);
    }
  }
}

// The text of every token that an answer may have to show.
void add_text(const TextCodec& codec, Recording& recording) {
  auto& out = recording.text;
  add_text(codec, recording.model.end_tokens, out);
  for (const RecordedRun& run : recording.runs) {
    const std::span<const int32_t> prompt = run.request.prompt;
    const bool whole = recording.request.contains("echo");
    add_text(
        codec,
        whole ? prompt : prompt.last(std::min(prompt.size(), kTail)),
        out);
    if (run.prefilled) {
      add_text(codec, run.prefilled->logprobs, out);
    }
    for (const RecordedChoice& choice : run.choices) {
      add_text(codec, choice.tokens, out);
      add_text(codec, choice.logprobs, out);
      recording.lines.push_back(codec.decode(choice.tokens));
    }
  }
}

}  // namespace

class RequestRecorder::Tap final : public Engine {
 public:
  Tap(std::shared_ptr<RequestRecorder> recorder, std::shared_ptr<Engine> engine)
      : recorder_(std::move(recorder)), engine_(std::move(engine)) {}

  const EngineInfo& info() const override { return engine_->info(); }
  RequestId submit(GenerateRequest request, EngineSink sink) override {
    const Ticket ticket = request.origin;
    const int run = recorder_->begin(request);
    if (run < 0) {
      return engine_->submit(std::move(request), std::move(sink));
    }
    return engine_->submit(
        std::move(request),
        [recorder = recorder_, ticket, run, sink = std::move(sink)](
            const EngineEvent& event) {
          recorder->note(ticket, run, event);
          sink(event);
        });
  }
  void cancel(RequestId id, int choice) override {
    engine_->cancel(id, choice);
  }
  EngineStats stats() const override { return engine_->stats(); }
  void clear_cache() override { engine_->clear_cache(); }

 private:
  std::shared_ptr<RequestRecorder> recorder_;
  std::shared_ptr<Engine> engine_;
};

Result<std::shared_ptr<RequestRecorder>> RequestRecorder::start(
    const fs::path& folder,
    std::shared_ptr<const TextModel> model,
    bool exact,
    std::string build) {
  RAPID_CHECK(make_folder(folder));
  std::error_code failed;
  // What people said is nobody else's business.
  fs::permissions(folder, fs::perms::owner_all, failed);
  RecordedModel about;
  about.name = model->name;
  about.alias = model->alias;
  about.path = model->path;
  about.exact = exact;
  about.format = model->format ? std::string(model->format->name()) : "plain";
  about.reasoning = model->reasoning ? std::string(model->reasoning->name) : "";
  about.chat_template = std::string(model->codec->template_source());
  about.end_tokens = model->end_tokens;
  return std::shared_ptr<RequestRecorder>(new RequestRecorder(
      folder, std::move(model), std::move(about), std::move(build)));
}

RequestRecorder::RequestRecorder(
    fs::path folder,
    std::shared_ptr<const TextModel> model,
    RecordedModel about,
    std::string build)
    : folder_(std::move(folder)),
      model_(std::move(model)),
      about_(std::move(about)),
      build_(std::move(build)),
      last_number_(highest_number(folder_)) {}

RequestRecorder::~RequestRecorder() {
  flush();
}

std::shared_ptr<Engine> RequestRecorder::wrap(std::shared_ptr<Engine> engine) {
  const EngineInfo& info = engine->info();
  about_.architecture = info.architecture;
  about_.device = info.device;
  if (!about_.exact && info.memory.kv_bits > 0) {
    about_.kv_bits = info.memory.kv_bits;
  }
  about_.adapters = info.adapters;
  about_.parameters = info.parameters;
  about_.weight_bytes = info.weight_bytes;
  about_.vocabulary = info.vocabulary;
  about_.context_length = info.context_length;
  return std::make_shared<Tap>(shared_from_this(), std::move(engine));
}

void RequestRecorder::open(Ticket ticket, const chat::Request& request) {
  Entry entry;
  entry.recording.id = request.id;
  entry.recording.time = time_of_day();
  entry.recording.build = build_;
  entry.recording.model = about_;
  entry.recording.request = request_json(request);
  entry.recording.question = question_key(request);
  entry.recording.conversation = conversation_key(request);
  std::lock_guard lock(mutex_);
  open_.emplace(ticket, std::move(entry));
}

void RequestRecorder::close(Ticket ticket) {
  std::lock_guard lock(mutex_);
  if (const auto found = open_.find(ticket); found != open_.end()) {
    found->second.closed = true;
    settle(found);
  }
}

int RequestRecorder::begin(const GenerateRequest& request) {
  std::lock_guard lock(mutex_);
  const auto found = open_.find(request.origin);
  if (found == open_.end()) {
    return -1;
  }
  auto& runs = found->second.recording.runs;
  RecordedRun& run = runs.emplace_back();
  run.request = request;
  run.choices.resize(static_cast<size_t>(std::max(request.choices, 1)));
  ++found->second.running;
  return static_cast<int>(runs.size()) - 1;
}

void RequestRecorder::note(
    Ticket ticket, int number, const EngineEvent& event) {
  std::lock_guard lock(mutex_);
  const auto found = open_.find(ticket);
  if (found == open_.end()) {
    return;
  }
  RecordedRun& run =
      found->second.recording.runs.at(static_cast<size_t>(number));
  const auto choice = [&](int index) -> RecordedChoice& {
    return run.choices.at(static_cast<size_t>(index));
  };
  bool over = false;
  if (const auto* token = std::get_if<EngineToken>(&event)) {
    choice(token->choice).tokens.push_back(token->token);
    if (token->logprob) {
      choice(token->choice).logprobs.push_back(*token->logprob);
    }
  } else if (const auto* prefilled = std::get_if<EnginePrefilled>(&event)) {
    run.prefilled = *prefilled;
  } else if (const auto* end = std::get_if<EngineChoiceEnd>(&event)) {
    choice(end->choice).end = end->reason;
    choice(end->choice).end_token = end->end_token;
  } else if (const auto* failed = std::get_if<EngineFailed>(&event)) {
    run.error = failed->error;
    over = true;
  } else if (std::holds_alternative<EngineDone>(event)) {
    over = true;
  }
  if (over) {
    --found->second.running;
    settle(found);
  }
}

// Under the mutex. Over means: the front has closed it and no run goes on.
void RequestRecorder::settle(std::map<Ticket, Entry>::iterator found) {
  if (!found->second.closed || found->second.running > 0) {
    return;
  }
  auto recording =
      std::make_shared<Recording>(std::move(found->second.recording));
  open_.erase(found);
  writer_.push([this, recording, number = ++last_number_] {
    add_text(*model_->codec, *recording);
    write(*recording, number);
  });
}

void RequestRecorder::write(const Recording& recording, int number) const {
  const fs::path target = folder_ / file_name(number, recording.id);
  fs::path temporary = target;
  temporary += ".part";
  const auto written = [&]() -> Status {
    const std::string text = dump_json(to_json(recording)) + "\n";
    FileWriter file;
    RAPID_CHECK(file.open(temporary, false));
    RAPID_CHECK(file.write(std::as_bytes(std::span(text))));
    return file.commit(target);
  }();
  if (!written) {
    std::error_code ignored;
    fs::remove(temporary, ignored);
    spdlog::error("a request is not recorded: {}", written.error().what);
  }
}

void RequestRecorder::flush() {
  const auto done = std::make_shared<std::promise<void>>();
  writer_.push([done] { done->set_value(); });
  done->get_future().wait();
}

}  // namespace rapid
