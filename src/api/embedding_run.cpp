#include "api/embedding_run.h"

#include <algorithm>
#include <utility>

#include "api/submission.h"

namespace rapid {
namespace {

constexpr size_t kAtOnce = 16;

// Each batch is submitted when the one before is done, from its sink.
class Run : public std::enable_shared_from_this<Run> {
 public:
  Run(chat::Request request,
      const EmbeddingFields& fields,
      std::shared_ptr<Backend> backend,
      std::function<void(Result<Embedded>)> done)
      : prompts_(std::move(request.prompts)),
        request_(std::move(request)),
        fields_(fields),
        submission_(std::move(backend)),
        done_(std::move(done)) {
    request_.embedding = fields.pooling;
    request_.max_tokens = 0;
    request_.use_cache = false;
    result_.vectors.resize(prompts_.size());
  }

  void next() {
    if (begin_ >= prompts_.size()) {
      return finish(std::move(result_));
    }
    const size_t end = std::min(prompts_.size(), begin_ + kAtOnce);
    const auto first = prompts_.begin();
    request_.prompts.assign(
        std::make_move_iterator(first + static_cast<std::ptrdiff_t>(begin_)),
        std::make_move_iterator(first + static_cast<std::ptrdiff_t>(end)));
    const size_t batch = begin_;
    const Status done = submission_.submit(
        request_, [self = shared_from_this(), batch](const chat::Event& event) {
          self->on(event, batch);
        });
    if (!done && !submission_.stopped()) {
      finish(done.error());
    }
  }

  void client_left() { submission_.stop(); }

 private:
  void on(const chat::Event& event, size_t batch) {
    if (const auto* prompt = std::get_if<chat::Prompt>(&event)) {
      const size_t at = batch + static_cast<size_t>(prompt->choice);
      result_.vectors.at(at) = shortened(prompt->embedding);
      result_.tokens += prompt->tokens;
    } else if (const auto* failed = std::get_if<chat::Failed>(&event)) {
      finish(failed->error);
    } else if (std::holds_alternative<chat::Done>(event)) {
      begin_ = batch + kAtOnce;
      if (!submission_.stopped()) {
        next();
      }
    }
  }

  std::vector<float> shortened(std::vector<float> vector) const {
    if (fields_.dimensions > 0 && fields_.dimensions < vector.size()) {
      vector.resize(fields_.dimensions);
      normalise(vector);
    }
    return vector;
  }

  void finish(Result<Embedded> result) {
    if (result) {
      const auto& vectors = result->vectors;
      const auto empty = [](const auto& each) { return each.empty(); };
      if (std::any_of(vectors.begin(), vectors.end(), empty)) {
        result =
            Error{ErrorCode::unsupported, "this server gives no embeddings"};
      } else if (!vectors.empty() && fields_.dimensions > vectors[0].size()) {
        result = wrong_field(
            "dimensions",
            "no more than the model has: " + std::to_string(vectors[0].size()),
            Json(fields_.dimensions));
      }
    }
    if (auto done = std::exchange(done_, nullptr)) {
      done(std::move(result));
    }
  }

  std::vector<chat::Request::Prompt> prompts_;
  chat::Request request_;
  EmbeddingFields fields_;
  Submission submission_;
  std::function<void(Result<Embedded>)> done_;
  Embedded result_;
  size_t begin_ = 0;  // of the batch that is next
};

}  // namespace

Result<EmbeddingFields> read_embedding_fields(const Fields& fields) {
  EmbeddingFields out;
  RAPID_TRY(const auto pooling, fields.string("pooling"));
  if (pooling == "last") {
    out.pooling = Pooling::last;
  } else if (pooling == "cls") {
    out.pooling = Pooling::first;
  } else if (pooling && *pooling != "mean") {
    return wrong_field("pooling", "mean, last or cls", Json(*pooling));
  }
  RAPID_TRY(const auto dimensions, fields.integer("dimensions", 1, INT32_MAX));
  out.dimensions = static_cast<size_t>(dimensions.value_or(0));
  return out;
}

void run_embedding(
    chat::Request request,
    const EmbeddingFields& fields,
    std::shared_ptr<Backend> backend,
    const std::shared_ptr<ResponseStream>& stream,
    std::function<void(Result<Embedded>)> done) {
  const auto run = std::make_shared<Run>(
      std::move(request), fields, std::move(backend), std::move(done));
  run->next();
  stream->on_disconnect([weak = std::weak_ptr(run)] {
    if (const auto self = weak.lock()) {
      self->client_left();
    }
  });
}

}  // namespace rapid
