// OpenRequest: the journal of one request whose engine may die under it.
//
// The sink gets the events of an undisturbed run: what a second engine says
// again is swallowed. A request without an EnginePrefilled is asked again as
// it was; behind it every open choice is resumed as a request of its own,
// with what it said so far. One thread.
//
//   for (auto& part : open.parts()) submit(part.request);
//   open.on(part.choice, event);         // until over()
//   open.engine_died();                  // and then parts() again
#pragma once

#include <cstdint>
#include <vector>

#include "engine/engine.h"

namespace rapid {

class OpenRequest {
 public:
  static constexpr int kWhole = -1;
  struct Part {
    int choice = kWhole;  // whose request it is
    GenerateRequest request;
  };

  OpenRequest(GenerateRequest request, EngineSink sink);

  const GenerateRequest& request() const { return request_; }
  // What an engine must be asked. Each part ends with a Done or Failed.
  std::vector<Part> parts();
  void on(int part, const EngineEvent& event);
  void cancel(int choice);
  bool cancelled(int choice) const { return choices_.at(choice).cancelled; }
  void fail(const Error& error);
  bool over() const { return over_; }

  // Ends what was cancelled and has no engine to say so.
  void end_cancelled();
  void engine_died();
  // Deaths since the last that came behind some progress.
  int fruitless_deaths() const { return fruitless_deaths_; }
  bool progressed() const { return progressed_; }  // since the last death
  bool ever_died() const { return died_; }

 private:
  struct Choice {
    std::vector<int32_t> tokens;
    bool ended = false;
    bool cancelled = false;
  };

  Part resumed(int choice) const;
  void end(int choice, EngineChoiceEnd end);
  void part_ended();
  void finish();

  void on_part(int part, const EngineProgress& event);
  void on_part(int part, const EnginePrefilled& event);
  void on_part(int part, const EngineToken& event);
  void on_part(int part, const EngineChoiceEnd& event);
  void on_part(int part, const EngineDone& event);
  void on_part(int part, const EngineFailed& event);
  int choice_of(int part, int choice) const;  // -1: none that is open

  GenerateRequest request_;
  EngineSink sink_;
  std::vector<Choice> choices_;
  bool prefilled_ = false;
  bool over_ = false;
  int told_ = 0;
  int parts_left_ = 0;
  double prefill_seconds_ = 0;
  double first_token_ = 0;
  double last_token_ = 0;
  int generated_ = 0;
  int drafted_ = 0;
  int accepted_ = 0;
  int fruitless_deaths_ = 0;
  bool progressed_ = false;
  bool died_ = false;
};

}  // namespace rapid
