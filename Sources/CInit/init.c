#include "CInit.h"
void hypeman_init_marker(void) {}
