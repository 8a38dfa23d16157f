#include "datapath/abi.h"
