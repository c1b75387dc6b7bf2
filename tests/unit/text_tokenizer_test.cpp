#include <gtest/gtest.h>

#include <random>

#include "base/json.h"
#include "base/utf8.h"
#include "text/detokenizer.h"
#include "text/tokenizer.h"

namespace rapid {
namespace {

using Kind = Vocabulary::Kind;
using Ids = std::vector<int32_t>;

std::string utf8(uint32_t code) {
  if (code < 0x80) {
    return {static_cast<char>(code)};
  }
  return {
      static_cast<char>(0xC0 | (code >> 6)),
      static_cast<char>(0x80 | (code & 0x3F))};
}

// The character by which a byte-level vocabulary writes `byte`.
std::string letter(int byte) {
  bool printable = (byte >= 0x21 && byte <= 0x7E) ||
                   (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
  if (printable) {
    return utf8(byte);
  }
  uint32_t code = byte <= 0x20  ? 0x100 + byte
                  : byte < 0xAD ? 0x121 + byte - 0x7F
                                : 0x143;
  return utf8(code);
}

// 256 bytes, two merges, three control tokens, one user-defined.
Vocabulary byte_level() {
  Vocabulary out;
  out.model = "gpt2";
  out.pre = "gpt-2";
  for (int byte = 0; byte < 256; ++byte) {
    out.tokens.push_back(letter(byte));
  }
  for (const char* token : {"he", "hel", "<|a|>", "<|im_end|>", "<tool>"}) {
    out.tokens.emplace_back(token);
  }
  out.merges = {"h e", "he l"};
  out.kinds.assign(out.tokens.size(), Kind::normal);
  out.kinds[258] = Kind::control;
  out.kinds[259] = Kind::control;
  out.kinds[260] = Kind::user_defined;
  out.bos = out.eos = 258;
  out.add_bos = true;
  return out;
}

// Byte fallback, scores, a space prefix.
Vocabulary pieces() {
  Vocabulary out;
  out.model = "llama";
  out.tokens = {"<unk>", "<s>", "</s>"};
  out.kinds = {Kind::unknown, Kind::control, Kind::control};
  for (int byte = 0; byte < 256; ++byte) {
    char name[8];
    std::snprintf(name, sizeof name, "<0x%02X>", byte);
    out.tokens.emplace_back(name);
    out.kinds.push_back(Kind::byte);
  }
  out.scores.assign(out.tokens.size(), 0);
  float score = 0;
  for (const char* piece :
       {"▁a", "ab", "▁ab", "▁", "a", "b", "<", "/", "s", ">", "</", "s>"}) {
    out.tokens.emplace_back(piece);
    out.kinds.push_back(Kind::normal);
    out.scores.push_back(score -= 1);
  }
  out.unknown = 0;
  out.bos = 1;
  out.eos = 2;
  return out;
}

std::shared_ptr<const Tokenizer> make(const Vocabulary& vocabulary) {
  auto made = Tokenizer::from_vocabulary(vocabulary);
  EXPECT_TRUE(made) << made.error().what;
  return made ? *made : nullptr;
}

TEST(TextTokenizer, MergesAndSpecialTokens) {
  auto tokenizer = make(byte_level());
  EXPECT_EQ(tokenizer->encode("hello"), (Ids{257, 'l', 'o'}));
  EXPECT_EQ(
      tokenizer->encode("he<|im_end|>", {.add_special = true}),
      (Ids{258, 256, 259}));
  EXPECT_EQ(tokenizer->end_tokens(), (Ids{258, 259}));
  EXPECT_TRUE(tokenizer->is_special(259));
  EXPECT_FALSE(tokenizer->is_special(260));
  EXPECT_EQ(tokenizer->token_id("<|a|>"), 258);
  EXPECT_EQ(tokenizer->token_id("nope"), std::nullopt);
}

TEST(TextTokenizer, UntrustedTextHasNoControlTokens) {
  auto tokenizer = make(byte_level());
  std::string text = "<|a|>x<|im_end|><tool>y<|im_end|>";
  std::vector<TextSpan> user = {{5, 23}};
  Ids ids = tokenizer->encode(text, {.untrusted = user});
  EXPECT_EQ(ids.front(), 258);
  EXPECT_EQ(ids.back(), 259);
  EXPECT_EQ(std::count(ids.begin(), ids.end(), 259), 1);
  EXPECT_EQ(std::count(ids.begin(), ids.end(), 260), 0);
  EXPECT_EQ(tokenizer->decode(ids), text);
  // One byte of the user's in a name is enough.
  user = {{9, 10}};
  ids = tokenizer->encode(text, {.untrusted = user});
  EXPECT_EQ(std::count(ids.begin(), ids.end(), 259), 1);
  ids = tokenizer->encode(text, {.parse_special = false});
  EXPECT_EQ(ids.size(), text.size());
}

TEST(TextTokenizer, PiecesFallBackToBytes) {
  auto tokenizer = make(pieces());
  auto id = [&](const char* name) { return *tokenizer->token_id(name); };
  EXPECT_EQ(tokenizer->encode("ab"), (Ids{id("▁ab")}));
  EXPECT_EQ(tokenizer->encode("a\n"), (Ids{id("▁a"), id("<0x0A>")}));
  EXPECT_EQ(tokenizer->token_bytes(id("<0x0A>")), "\n");
  EXPECT_EQ(tokenizer->token_bytes(id("▁ab")), " ab");
  EXPECT_EQ(tokenizer->decode(tokenizer->encode("ab é😀")), "ab é😀");
  // "</" + "s>" joins to a control token's name: no merge may make it.
  Ids ids = tokenizer->encode("</s>", {.parse_special = false});
  EXPECT_EQ(std::count(ids.begin(), ids.end(), 2), 0);
  EXPECT_EQ(tokenizer->decode(ids), "</s>");
  EXPECT_EQ(tokenizer->encode("</s>"), (Ids{2}));
}

TEST(TextTokenizer, ErrorsNameWhatIsWrong) {
  Vocabulary vocabulary = byte_level();
  vocabulary.pre = "martian";
  auto made = Tokenizer::from_vocabulary(vocabulary);
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().code, ErrorCode::unsupported);
  EXPECT_NE(made.error().what.find("martian"), std::string::npos);
  vocabulary = byte_level();
  vocabulary.model = "unheard-of";
  made = Tokenizer::from_vocabulary(vocabulary);
  ASSERT_FALSE(made);
  EXPECT_NE(made.error().what.find("unheard-of"), std::string::npos);
  vocabulary = byte_level();
  vocabulary.merges.emplace_back("zz qq");
  made = Tokenizer::from_vocabulary(vocabulary);
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().code, ErrorCode::corrupt);
  vocabulary = pieces();
  vocabulary.scores.pop_back();
  EXPECT_FALSE(Tokenizer::from_vocabulary(vocabulary));
  vocabulary.model = "gpt2";
  vocabulary.tokens[5] = "\xff";
  EXPECT_FALSE(Tokenizer::from_vocabulary(vocabulary));
}

const char* kJson = R"({"version":"1.0","truncation":null,"padding":null,
  "added_tokens":[
   {"id":3,"content":"<|x|>","single_word":false,"lstrip":true,"rstrip":true,
    "normalized":false,"special":true},
   {"id":4,"content":"wo","single_word":true,"lstrip":false,"rstrip":false,
    "normalized":true,"special":false}],
  "normalizer":{"type":"Lowercase"},
  "pre_tokenizer":{"type":"ByteLevel","add_prefix_space":false,
   "trim_offsets":true,"use_regex":true},
  "post_processor":{"type":"TemplateProcessing",
   "single":[{"SpecialToken":{"id":"<|x|>","type_id":0}},
             {"Sequence":{"id":"A","type_id":0}}],
   "pair":[{"Sequence":{"id":"A","type_id":0}},
           {"Sequence":{"id":"B","type_id":1}}],
   "special_tokens":{"<|x|>":{"id":"<|x|>","ids":[3],"tokens":["<|x|>"]}}},
  "decoder":{"type":"ByteLevel","add_prefix_space":true,"trim_offsets":true,
   "use_regex":true},
  "model":{"type":"BPE","dropout":null,"unk_token":null,
   "continuing_subword_prefix":null,"end_of_word_suffix":null,
   "fuse_unk":false,"byte_fallback":false,
   "vocab":{"w":0,"o":1,"\u0120":2},"merges":[]}})";

TEST(TextTokenizer, ReadsTokenizerJson) {
  auto made = Tokenizer::from_json(kJson, R"({"eos_token":"<|x|>"})");
  ASSERT_TRUE(made) << made.error().what;
  const Tokenizer& tokenizer = **made;
  EXPECT_EQ(tokenizer.encode("W", {.add_special = true}), (Ids{3, 0}));
  EXPECT_EQ(tokenizer.encode("o  <|x|>  w"), (Ids{1, 3, 0}));
  EXPECT_EQ(tokenizer.encode("WO oWo"), (Ids{4, 2, 1, 0, 1}));
  EXPECT_EQ(tokenizer.eos(), 3);
  EXPECT_EQ(tokenizer.end_tokens(), (Ids{3}));
}

// The same vocabulary as a tokenizer.json, whose model is the reference's own.
std::shared_ptr<const Tokenizer> reference(
    const Vocabulary& vocabulary, Json merges, bool fallback) {
  const auto tag = [](const char* type) { return Json{{"type", type}}; };
  Json normalizer, pre_tokenizer, decoder = tag("ByteLevel");
  if (fallback) {
    Json spaces = tag("Replace");
    spaces.update(Json{{"pattern", {{"String", " "}}}, {"content", "\u2581"}});
    Json prefix = tag("Prepend");
    prefix["prepend"] = "\u2581";
    normalizer = tag("Sequence");
    normalizer["normalizers"] = Json::array({prefix, spaces});
    decoder = tag("ByteFallback");
  } else {
    decoder.update(Json{
        {"add_prefix_space", false},
        {"trim_offsets", true},
        {"use_regex", true}});
    pre_tokenizer = decoder;
  }
  Json vocab = Json::object();
  for (size_t id = 0; id < vocabulary.tokens.size(); ++id) {
    vocab[vocabulary.tokens[id]] = id;
  }
  Json model = tag("BPE");
  model.update(Json{
      {"unk_token", fallback ? Json("<unk>") : Json()},
      {"fuse_unk", fallback},
      {"byte_fallback", fallback},
      {"vocab", vocab},
      {"merges", merges}});
  const Json json = {
      {"version", "1.0"},
      {"added_tokens", Json::array()},
      {"normalizer", normalizer},
      {"pre_tokenizer", pre_tokenizer},
      {"decoder", decoder},
      {"model", model}};
  auto made = Tokenizer::from_json(dump_json(json));
  EXPECT_TRUE(made) << made.error().what;
  return made ? *made : nullptr;
}

TEST(TextTokenizer, CompactModelIsTheReferenceModel) {
  Vocabulary bytes = byte_level();
  bytes.kinds.clear();  // no added tokens: those are matched by us
  bytes.merges = {"l l", "h e", "l o", "ll o", "he l", "he llo"};
  for (const char* token : {"ll", "lo", "llo", "hello"}) {
    bytes.tokens.emplace_back(token);
  }
  Vocabulary scored = pieces();
  // Of several merges to one piece the longer left side comes first.
  const Json scored_merges = {
      "\u2581 a", "a b", "\u2581a b", "\u2581 ab", "< /", "s >"};
  Vocabulary unknown = scored;  // no byte tokens: neighbours become one <unk>
  for (int byte = 0; byte < 256; ++byte) {
    unknown.tokens[3 + byte] = "byte " + std::to_string(byte);
    unknown.kinds[3 + byte] = Kind::normal;
  }
  const std::pair<Vocabulary, Json> cases[] = {
      {unknown, scored_merges},
      {bytes, Json(bytes.merges)},
      {scored, scored_merges}};
  const char* letters[] = {
      "h",
      "e",
      "l",
      "o",
      " ",
      "a",
      "b",
      "s",
      "<",
      "/",
      ">",
      "x",
      "é",
      "\u2581",
      "😀"};
  std::mt19937 random(7);
  for (const auto& [vocabulary, merges] : cases) {
    const bool fallback = vocabulary.model == "llama";
    const auto ours = make(vocabulary);
    const auto theirs = reference(vocabulary, merges, fallback);
    ASSERT_TRUE(ours && theirs);
    for (int i = 0; i < 3000; ++i) {
      std::string text;
      for (size_t n = 1 + random() % 24; n > 0; --n) {
        text += letters[random() % std::size(letters)];
      }
      const EncodeOptions options{.parse_special = false};
      ASSERT_EQ(ours->encode(text, options), theirs->encode(text, options))
          << text;
    }
  }
}

TEST(TextTokenizer, AWordOfNoMergesIsFoundWhole) {
  Vocabulary vocabulary = byte_level();
  vocabulary.tokens.emplace_back("whole");
  vocabulary.kinds.push_back(Kind::normal);
  EXPECT_EQ(make(vocabulary)->encode("whole").size(), 5u);
  vocabulary.pre = "llama-bpe";  // ignores merges for whole words
  EXPECT_EQ(make(vocabulary)->encode("whole"), (Ids{261}));
}

TEST(TextTokenizer, CutOrBrokenJsonIsAnError) {
  std::string json = kJson;
  for (size_t size = 0; size < json.size(); size += 7) {
    auto made = Tokenizer::from_json(json.substr(0, size));
    ASSERT_FALSE(made) << size;
    EXPECT_EQ(made.error().code, ErrorCode::corrupt);
  }
  std::mt19937 random(3);
  for (int i = 0; i < 300; ++i) {
    std::string broken = json;
    broken[random() % broken.size()] = static_cast<char>(random());
    auto made = Tokenizer::from_json(broken);
    if (made) {
      (void)(*made)->encode("wo <|x|>");
    }
  }
  EXPECT_FALSE(Tokenizer::from_json(kJson, "{broken"));
}

// Every token, in any order: pieces are whole characters and join to decode.
TEST(TextDetokenizer, PiecesJoinToDecode) {
  std::mt19937 random(1);
  for (const auto& tokenizer : {make(byte_level()), make(pieces())}) {
    std::vector<Ids> streams = {tokenizer->encode("é👩‍👦😀 ab", {})};
    for (int i = 0; i < 300; ++i) {
      Ids ids;
      for (size_t n = random() % 24; n > 0; --n) {
        ids.push_back(static_cast<int32_t>(random() % tokenizer->size()));
      }
      streams.push_back(ids);
    }
    for (const Ids& ids : streams) {
      for (bool skip : {false, true}) {
        Detokenizer text(tokenizer, skip);
        std::string joined;
        for (int32_t id : ids) {
          std::string piece = text.push(id);
          ASSERT_TRUE(utf8_valid(piece));
          joined += piece;
        }
        joined += text.flush();
        ASSERT_EQ(joined, tokenizer->decode(ids, skip));
      }
    }
  }
}

TEST(TextDetokenizer, HoldsHalfACharacter) {
  auto tokenizer = make(byte_level());
  Detokenizer text(tokenizer);
  EXPECT_EQ(text.push(0xC3), "");
  EXPECT_EQ(text.push(0xA9), "é");
  EXPECT_EQ(text.push(0xF0), "");
  EXPECT_EQ(text.flush(), "\xEF\xBF\xBD");
}

}  // namespace
}  // namespace rapid
