void hypeman_init_marker(void);
