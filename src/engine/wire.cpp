#include "engine/wire.h"

#include <cstring>
#include <type_traits>
#include <utility>

namespace rapid {
namespace {

Error corrupt(const char* what) {
  return {
      ErrorCode::corrupt,
      std::string("a message between processes is damaged: ") + what};
}

class Writer {
 public:
  static constexpr bool kReads = false;

  template <typename T>
  void raw(const T& value) {
    out.append(reinterpret_cast<const char*>(&value), sizeof(T));
  }
  bool good() const { return true; }

  std::string out;
};

class Reader {
 public:
  static constexpr bool kReads = true;

  explicit Reader(std::string_view bytes) : bytes_(bytes) {}

  template <typename T>
  void raw(T& value) {
    if (bytes_.size() < sizeof(T)) {
      return fail();
    }
    std::memcpy(&value, bytes_.data(), sizeof(T));
    bytes_.remove_prefix(sizeof(T));
  }
  std::string_view take(size_t count) {
    const std::string_view out = bytes_.substr(0, count);
    bytes_.remove_prefix(out.size());
    return out;
  }
  void fail() {
    good_ = false;
    bytes_ = {};
  }
  bool good() const { return good_; }
  size_t left() const { return bytes_.size(); }

 private:
  std::string_view bytes_;
  bool good_ = true;
};

template <typename T>
struct IsVector : std::false_type {};
template <typename T>
struct IsVector<std::vector<T>> : std::true_type {};
template <typename T>
struct IsOptional : std::false_type {};
template <typename T>
struct IsOptional<std::optional<T>> : std::true_type {};
template <typename T>
struct IsPair : std::false_type {};
template <typename A, typename B>
struct IsPair<std::pair<A, B>> : std::true_type {};
template <typename T>
struct IsVariant : std::false_type {};
template <typename... T>
struct IsVariant<std::variant<T...>> : std::true_type {};

// The last value of each enum.
constexpr uint8_t last_of(ErrorCode) {
  return static_cast<uint8_t>(ErrorCode::internal);
}
constexpr uint8_t last_of(GrammarSource::Kind) {
  return static_cast<uint8_t>(GrammarSource::Kind::lark);
}
constexpr uint8_t last_of(Speculation) {
  return static_cast<uint8_t>(Speculation::ngram);
}
constexpr uint8_t last_of(Pooling) {
  return static_cast<uint8_t>(Pooling::first);
}
constexpr uint8_t last_of(EngineChoiceEnd::Reason) {
  return static_cast<uint8_t>(EngineChoiceEnd::Reason::cancelled);
}

template <typename A, typename T>
void walk(A& a, T& value);

template <typename A, typename... T>
void each(A& a, T&... values) {
  (walk(a, values), ...);
}

// The fields of every struct. The bindings name all of them: a struct that
// gets one more does not compile before it is sent, too.
template <typename A>
void fields(A& a, Error& v) {
  auto& [code, what, hint, param] = v;
  each(a, code, what, hint, param);
}
template <typename A>
void fields(A& a, EngineOptions& v) {
  auto& [path, device, threads, context, exact, kv_bits, chunk, limit, front, choices, waiting, folder, bytes, build, memory, adapters, speculation, draft] =
      v;
  each(a, path, device, threads, context, exact, kv_bits, chunk, limit);
  each(a, front, choices, waiting, folder, bytes, build, memory, adapters);
  each(a, speculation, draft);
}
template <typename A>
void fields(A& a, AdapterSource& v) {
  auto& [name, folder] = v;
  each(a, name, folder);
}
template <typename A>
void fields(A& a, Resumption& v) {
  auto& [choice, answered, replay] = v;
  each(a, choice, answered, replay);
}
template <typename A>
void fields(A& a, SamplingOptions& v) {
  auto& [temperature, top_p, top_k, min_p, repetition, presence, frequency, bias, seed] =
      v;
  each(a, temperature, top_p, top_k, min_p);
  each(a, repetition, presence, frequency, bias, seed);
}
template <typename A>
void fields(A& a, GrammarSource& v) {
  auto& [kind, text] = v;
  each(a, kind, text);
}
template <typename A>
void fields(A& a, PromptBorders& v) {
  auto& [front, messages, turn] = v;
  each(a, front, messages, turn);
}
template <typename A>
void fields(A& a, GenerateRequest& v) {
  auto& [prompt, sampling, choices, max_tokens, may_shorten, end_tokens, grammar, after, then_free, logprobs, prompt_logprobs, embedding, use_cache, lane, borders, origin, prediction, adapter, resume] =
      v;
  each(a, prompt, sampling, choices, max_tokens, may_shorten, end_tokens);
  each(a, grammar, after, then_free, logprobs, prompt_logprobs, embedding);
  each(a, use_cache, lane, borders, origin, prediction, adapter, resume);
}
template <typename A>
void fields(A& a, ScoredToken& v) {
  auto& [id, logprob] = v;
  each(a, id, logprob);
}
template <typename A>
void fields(A& a, EngineLogprob& v) {
  auto& [logprob, top] = v;
  each(a, logprob, top);
}
template <typename A>
void fields(A& a, EnginePrefilled& v) {
  auto& [cached, seconds, logprobs, relaxed, embedding] = v;
  each(a, cached, seconds, logprobs, relaxed, embedding);
}
template <typename A>
void fields(A& a, EngineProgress& v) {
  auto& [done, total, cached] = v;
  each(a, done, total, cached);
}
template <typename A>
void fields(A& a, EngineToken& v) {
  auto& [choice, token, logprob] = v;
  each(a, choice, token, logprob);
}
template <typename A>
void fields(A& a, EngineChoiceEnd& v) {
  auto& [choice, reason, end_token] = v;
  each(a, choice, reason, end_token);
}
template <typename A>
void fields(A& a, EngineDone& v) {
  auto& [prefill, decode, generated, drafted, accepted] = v;
  each(a, prefill, decode, generated, drafted, accepted);
}
template <typename A>
void fields(A& a, EngineFailed& v) {
  auto& [error] = v;
  each(a, error);
}
template <typename A>
void fields(A& a, StateCost::Layers& v) {
  auto& [count, page_bytes, page_tokens, window] = v;
  each(a, count, page_bytes, page_tokens, window);
}
template <typename A>
void fields(A& a, StateCost& v) {
  auto& [layers, fixed] = v;
  each(a, layers, fixed);
}
template <typename A>
void fields(A& a, MemoryFacts& v) {
  auto& [limit, weights, mapped, process, front, reserve, row, logits, layers, chunk, choices, context, kv_bits, states] =
      v;
  each(a, limit, weights, mapped, process, front, reserve, row, logits);
  each(a, layers, chunk, choices, context, kv_bits, states);
}
template <typename A>
void fields(A& a, EngineInfo& v) {
  auto& [architecture, device, threads, vocabulary, context, model_context, layers, parameters, bytes, seconds, memory, adapters] =
      v;
  each(a, architecture, device, threads, vocabulary, context, model_context);
  each(a, layers, parameters, bytes, seconds, memory, adapters);
}
template <typename A>
void fields(A& a, EngineStats& v) {
  auto& [waiting, running, parked, prompt, cached, generated, drafted, accepted, kv, kept, evicted, disk, resident, peak, progress, restarts, trouble] =
      v;
  each(a, waiting, running, parked, prompt, cached, generated, drafted);
  each(a, accepted, kv, kept);
  each(a, evicted, disk, resident, peak, progress, restarts, trouble);
}
template <typename A>
void fields(A& a, WireHello& v) {
  auto& [version, options] = v;
  each(a, version);
  // Another version's options would be read wrongly.
  if (version == kWireVersion) {
    each(a, options);
  }
}
template <typename A>
void fields(A& a, WireSubmit& v) {
  auto& [id, request] = v;
  each(a, id, request);
}
template <typename A>
void fields(A& a, WireCancel& v) {
  auto& [id, choice] = v;
  each(a, id, choice);
}
template <typename A>
void fields(A&, WireClearCache&) {}
template <typename A>
void fields(A& a, WirePing& v) {
  auto& [number] = v;
  each(a, number);
}
template <typename A>
void fields(A& a, WireReady& v) {
  auto& [info] = v;
  each(a, info);
}
template <typename A>
void fields(A& a, WireLoadFailed& v) {
  auto& [error] = v;
  each(a, error);
}
template <typename A>
void fields(A& a, WireEvent& v) {
  auto& [id, event] = v;
  each(a, id, event);
}
template <typename A>
void fields(A& a, WirePulse& v) {
  auto& [ping, stats] = v;
  each(a, ping, stats);
}

// A flag or an enum: one byte, checked.
template <typename A>
uint8_t small(A& a, uint8_t value, uint8_t last) {
  a.raw(value);
  if constexpr (A::kReads) {
    if (value > last) {
      a.fail();
    }
    return a.good() ? value : 0;
  }
  return value;
}

template <typename A, typename T>
void walk_list(A& a, T& list) {
  uint64_t count = list.size();
  a.raw(count);
  if constexpr (A::kReads) {
    // Every element takes a byte at least; room is made as they come.
    if (!a.good() || count > a.left()) {
      return a.fail();
    }
    if constexpr (std::is_arithmetic_v<typename T::value_type>) {
      if (count > a.left() / sizeof(typename T::value_type)) {
        return a.fail();
      }
      list.resize(count);
      const auto bytes = a.take(count * sizeof(typename T::value_type));
      if (count > 0) {
        std::memcpy(list.data(), bytes.data(), bytes.size());
      }
    } else {
      list.clear();
      for (uint64_t i = 0; i < count && a.good(); ++i) {
        walk(a, list.emplace_back());
      }
    }
  } else if constexpr (std::is_arithmetic_v<typename T::value_type>) {
    a.out.append(
        reinterpret_cast<const char*>(list.data()),
        count * sizeof(typename T::value_type));
  } else {
    for (auto& value : list) {
      walk(a, value);
    }
  }
}

template <size_t I = 0, typename T>
void emplace(T& variant, size_t index) {
  if constexpr (I < std::variant_size_v<T>) {
    index == I ? (void)variant.template emplace<I>()
               : emplace<I + 1>(variant, index);
  }
}

template <typename A, typename T>
void walk_variant(A& a, T& value) {
  constexpr auto kLast = static_cast<uint8_t>(std::variant_size_v<T> - 1);
  const uint8_t kind = small(a, static_cast<uint8_t>(value.index()), kLast);
  if constexpr (A::kReads) {
    emplace(value, kind);
  }
  std::visit([&](auto& held) { walk(a, held); }, value);
}

template <typename A, typename T>
void walk(A& a, T& value) {
  if constexpr (std::is_same_v<T, bool>) {
    value = small(a, value ? 1 : 0, 1) != 0;
  } else if constexpr (std::is_enum_v<T>) {
    value =
        static_cast<T>(small(a, static_cast<uint8_t>(value), last_of(value)));
  } else if constexpr (std::is_arithmetic_v<T>) {
    a.raw(value);
  } else if constexpr (std::is_same_v<T, std::string> || IsVector<T>::value) {
    walk_list(a, value);
  } else if constexpr (IsOptional<T>::value) {
    if (small(a, value ? 1 : 0, 1) != 0) {
      walk(a, value ? *value : value.emplace());
    }
  } else if constexpr (IsPair<T>::value) {
    each(a, value.first, value.second);
  } else if constexpr (IsVariant<T>::value) {
    walk_variant(a, value);
  } else {
    fields(a, value);
  }
}

}  // namespace

std::string encode(const WireMessage& message) {
  Writer writer;
  writer.raw(uint32_t{0});
  // A writer changes nothing; one walk serves both ways.
  walk(writer, const_cast<WireMessage&>(message));
  const auto length =
      static_cast<uint32_t>(writer.out.size() - sizeof(uint32_t));
  std::memcpy(writer.out.data(), &length, sizeof(length));
  return std::move(writer.out);
}

Result<WireMessage> decode(std::string_view bytes) {
  Reader reader(bytes);
  WireMessage message;
  walk(reader, message);
  if (!reader.good()) {
    return corrupt("it is cut, or a value is out of range");
  }
  if (const auto* hello = std::get_if<WireHello>(&message);
      hello != nullptr && hello->version != kWireVersion) {
    return corrupt("it is of another version of this program");
  }
  if (reader.left() > 0) {
    return corrupt("it is too long");
  }
  return message;
}

void WireReader::feed(std::string_view bytes) {
  if (begin_ > 0) {
    buffer_.erase(0, begin_);
    begin_ = 0;
  }
  buffer_.append(bytes);
}

Result<std::optional<WireMessage>> WireReader::next() {
  const std::string_view left = std::string_view(buffer_).substr(begin_);
  uint32_t length = 0;
  if (left.size() < sizeof(length)) {
    return std::optional<WireMessage>();
  }
  std::memcpy(&length, left.data(), sizeof(length));
  if (length > kWireMost) {
    return corrupt("it is too long");
  }
  if (left.size() - sizeof(length) < length) {
    return std::optional<WireMessage>();
  }
  begin_ += sizeof(length) + length;
  RAPID_TRY(auto message, decode(left.substr(sizeof(length), length)));
  return std::optional<WireMessage>(std::move(message));
}

}  // namespace rapid
