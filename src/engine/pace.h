// Pace: how many prompt tokens a step may take, from what steps have cost.
//
// A stream that decodes beside them stalls for as long as the step takes, so
// such a step is kept short. Without one a step may take longer: progress is
// told and a cancel is seen between two steps. One thread.
#pragma once

namespace rapid {

class Pace {
 public:
  // `most`: never more tokens than that.
  explicit Pace(int most) : most_(most) {}

  // `beside`: choices decode in the same step. At least 1.
  int chunk(bool beside) const;
  // What a step of so many prompt tokens, and rows that decode, took.
  void measured(int prompt_tokens, int decode_rows, double seconds);

 private:
  int most_;
  int last_ = 0;               // prompt tokens of the last step that had some
  double token_seconds_ = 0;   // of one prompt token; 0 = not known yet
  double decode_seconds_ = 0;  // of a step that only decodes
};

}  // namespace rapid
