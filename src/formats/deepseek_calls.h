// The calls of the DeepSeek family up to V3.1.
//
//   <｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>read
//   ```json
//   {"path": "/a"}
//   ```<｜tool▁call▁end｜><｜tool▁calls▁end｜>
//
// V3.1 writes read<｜tool▁sep｜>{"path": "/a"} between the inner marks. Each
// reads the other's, so that a type is never taken for a name.
#pragma once

#include "formats/common_syntaxes.h"

namespace rapid {

SyntaxPtr deepseek_typed_calls();
SyntaxPtr deepseek_calls();

}  // namespace rapid
